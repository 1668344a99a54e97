import { readStackOptions, type StackOptions } from '../stack/options.ts'
import type { StackRoute } from '../routes.ts'
import { parseArgs } from 'node:util'

export type PackageArguments = {
  readonly stage: string
  /** '' when none is given. */
  readonly region: string
  /** Where the package is put. */
  readonly folder: string
  readonly stack: StackOptions
}

/** Reads what the framework is given: `--stage prod --region eu-west-1 --param="prefix=acme-"`. @throws DeployError `deploy.options.invalid` */
export function readArguments(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  routes: readonly StackRoute[],
): PackageArguments {
  const { values } = parseArgs({
    args: [...args],
    strict: false,
    options: {
      stage: { type: 'string', short: 's' },
      region: { type: 'string', short: 'r' },
      package: { type: 'string', short: 'p' },
      param: { type: 'string', multiple: true },
    },
  })
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const stage = text(values['stage']) || 'dev'
  const given = ((values['param'] ?? []) as readonly unknown[]).map((one) => text(one).split(/=(.*)/s))
  const parameters = Object.fromEntries(given.map(([name = '', value = '']) => [name, value]))
  return {
    stage,
    region: text(values['region']) || env['AWS_REGION']?.trim() || env['AWS_DEFAULT_REGION']?.trim() || '',
    folder: text(values['package']) || '.serverless',
    stack: readStackOptions({ prefix: `enigma-${stage}-`, ...parameters }, routes),
  }
}
