/**
 * The framework exports every output under the service's name and stage, so that of two stacks of one stage with different prefixes
 * the second could not be made. Nobody imports them.
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
