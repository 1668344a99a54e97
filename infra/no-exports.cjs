/**
 * Removes the export names of the stack's outputs, which nobody imports. The framework names them after service and stage, so a second stack
 * of the same stage with another prefix could not be created.
 */
module.exports = class NoExports {
  hooks = { 'after:aws:package:finalize:addExportNameForOutputs': () => this.removeExports() }

  constructor(serverless) {
    this.serverless = serverless
  }

  removeExports() {
    for (const output of Object.values(this.serverless.service.provider.compiledCloudFormationTemplate.Outputs))
      delete output.Export
  }
}
