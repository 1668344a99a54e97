// Lets serverless.yml read the stack from TypeScript. The framework's variables accept only .cjs files.
module.exports = async ({ resolveVariable }) => {
  const { readStackRoutes } = await import('./stack/stack-routes.ts')
  const { readStackOptions, STACK_PARAMETERS } = await import('./stack/options.ts')
  const { createStack } = await import('./stack/stack.ts')
  const param = async (name) => String((await resolveVariable(`param:${name}, ''`)) ?? '')
  const values = Object.fromEntries(await Promise.all(STACK_PARAMETERS.map(async (name) => [name, await param(name)])))
  return createStack(readStackOptions(values, await readStackRoutes()))
}
