// serverless.yml reads the stack out of TypeScript by this: its variables take .cjs only.
const { readStackOptions, STACK_PARAMETERS } = require('./stack/options.ts')
const { createStack } = require('./stack/stack.ts')

module.exports = async ({ resolveVariable }) => {
  const param = async (name) => String((await resolveVariable(`param:${name}, ''`)) ?? '')
  const values = Object.fromEntries(await Promise.all(STACK_PARAMETERS.map(async (name) => [name, await param(name)])))
  return createStack(readStackOptions(values))
}
