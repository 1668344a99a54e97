// serverless.yml reads the stack out of TypeScript by this: its variables take .cjs only.
const { readStackOptions } = require('./stack/options.ts')
const { createStack } = require('./stack/stack.ts')

module.exports = async ({ resolveVariable }) => {
  const param = async (name) => String((await resolveVariable(`param:${name}, ''`)) ?? '')
  const names = ['prefix', 'logRetentionDays', 'alarmEmail', 'corsOrigin', 'kmsKeyArn', 'keep']
  const values = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await param(name)])))
  return createStack(readStackOptions(values))
}
