import { packageStack } from './package-stack.ts'

/** `npm run package`: builds, packages and checks, offline and without credentials. Arguments go to the framework: --stage, --param=… */
process.exitCode = await packageStack(process.argv.slice(2), process.env)
