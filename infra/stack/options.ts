import { parseArgs } from 'node:util'
import { MAX_PREFIX_LENGTH } from '../../src/protocol/index.ts'
import { DeployError } from '../deploy-error.ts'
import type { StackRoute } from './stack-routes.ts'

/** The parameters of a deployment, such as `--param="prefix=acme-"`. */
export type StackOptions = {
  /** The start of every name; it ends with a dash. Without the dash it is the name of the stack: `enigma-prod-` → `enigma-prod`. */
  readonly prefix: string
  readonly logRetentionDays: number
  /** The e-mail address that receives alarms. '': none. */
  readonly alarmEmail: string
  /** The origins whose pages may read the API, separated by commas, or `*`. '': none. */
  readonly corsOrigin: string
  /** The longest time (s) for which the API shows a call as current. */
  readonly callLimitSeconds: number
  /** The IANA time zone in which the day of today's figures begins. */
  readonly timeZone: string
  /** The rule for abandoned calls: their end reasons, the calls they are compared with, and the share above which there are too many. */
  readonly abandonReasons: string
  readonly abandonOf: string
  readonly abandonThreshold: string
  /** The time (days) for which parked notifications are kept. */
  readonly parkedDays: number
  /** The time (days) for which deleted notifications can be restored. */
  readonly binDays: number
  /** The time (minutes) after the end of a call at which a CDR counts as missing. */
  readonly missingMinutes: number
  /** The ARN of the key that encrypts the parameters, unless it is the account's default key of Systems Manager. */
  readonly kmsKeyArn: string
  /** The reserved concurrency of the API: the number of requests that it answers at once. Undefined: limited only by the account. */
  readonly apiConcurrency: number | undefined
  /** The number of concurrent streams of changes. Each is an invocation of a separate function. Undefined: the stack has no such function. */
  readonly events: number | undefined
  /** Whether queues and logs are kept when the stack is removed. */
  readonly keep: boolean
  /** Whether X-Ray traces the functions. */
  readonly tracing: boolean
  /** The routes. Each has a queue and a function. */
  readonly routes: readonly StackRoute[]
}

/** The names of the parameters. serverless.yml and docs/deploy.md list the same names. */
export const STACK_PARAMETERS = [
  'prefix',
  'logRetentionDays',
  'alarmEmail',
  'corsOrigin',
  'callLimitSeconds',
  'timeZone',
  'abandonReasons',
  'abandonOf',
  'abandonThreshold',
  'parkedDays',
  'binDays',
  'missingMinutes',
  'kmsKeyArn',
  'apiConcurrency',
  'events',
  'keep',
  'tracing',
] as const

/** The maximum length of a function's name. Source: CreateFunction in the Lambda API reference. */
const MAX_FUNCTION_NAME = 64

/** Returns the maximum length of the prefix: of the names that contain it, those of queues and functions have the tightest limits. */
export const maxPrefixLength = (routes: readonly StackRoute[]): number =>
  Math.min(MAX_PREFIX_LENGTH, MAX_FUNCTION_NAME - Math.max(...routes.map(({ name }) => name.length)))

/** The retentions that CloudWatch Logs accepts. Source: PutRetentionPolicy in the CloudWatch Logs API reference. */
const RETENTIONS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
]

function isTimeZone(text: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

/** Checks and reads the parameters. @throws DeployError `deploy.options.invalid` with every fault on a line of its own, and its fix */
export function readStackOptions(
  values: Readonly<Record<string, string>>,
  routes: readonly StackRoute[],
): StackOptions {
  const faults: string[] = []
  const value = (name: (typeof STACK_PARAMETERS)[number]) => (values[name] ?? '').trim()
  // The framework accepts any name. With a typo in one, the alarms of an existing stack would lose their receiver.
  for (const name of Object.keys(values))
    if (!STACK_PARAMETERS.some((known) => known === name))
      faults.push(`the parameter "${name}" does not exist: use one of ${STACK_PARAMETERS.join(', ')}`)
  const prefix = value('prefix')
  if (!/^[a-z][a-z0-9-]*-$/.test(prefix) || prefix.includes('--')) {
    faults.push(
      `prefix "${prefix}": write lower-case letters, digits and single dashes, starting with a letter and ending with a dash, such as acme-prod-`,
    )
  } else if (/^(aws|ssm)/.test(prefix)) {
    faults.push(
      `prefix "${prefix}": Parameter Store reserves names that begin with aws or ssm; write another prefix, such as my-${prefix}`,
    )
  }
  const most = maxPrefixLength(routes)
  if (prefix.length > most)
    faults.push(
      `prefix "${prefix}" has ${prefix.length} characters: write at most ${most}, so that every function name fits the limit of Lambda`,
    )
  const logRetentionDays = Number(value('logRetentionDays') || 30)
  if (!RETENTIONS.includes(logRetentionDays))
    faults.push(
      `logRetentionDays "${value('logRetentionDays')}": write one of the values that CloudWatch accepts: ${RETENTIONS.join(', ')}`,
    )
  const alarmEmail = value('alarmEmail')
  if (alarmEmail !== '' && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(alarmEmail))
    faults.push(`alarmEmail "${alarmEmail}": write an address such as ops@example.com`)
  const kmsKeyArn = value('kmsKeyArn')
  if (kmsKeyArn !== '' && !/^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key\/.+$/.test(kmsKeyArn))
    faults.push(`kmsKeyArn "${kmsKeyArn}": write the ARN of a key, arn:aws:kms:<region>:<account>:key/<id>`)
  const corsOrigin = value('corsOrigin')
  const wrongOrigin = corsOrigin
    .split(',')
    .map((one) => one.trim())
    .find((one) => one !== '' && one !== '*' && !(/^https?:\/\/[^/\s]+$/.test(one) && URL.canParse(one)))
  if (wrongOrigin !== undefined)
    faults.push(
      `corsOrigin "${wrongOrigin}": write origins such as https://console.example.com, separated by commas, or *`,
    )
  const callLimitSeconds = Number(value('callLimitSeconds') || 7_200)
  if (!Number.isInteger(callLimitSeconds) || callLimitSeconds < 1)
    faults.push(`callLimitSeconds "${value('callLimitSeconds')}": write a whole number of seconds, such as 7200`)
  const timeZone = value('timeZone') || 'UTC'
  if (!isTimeZone(timeZone))
    faults.push(`timeZone "${timeZone}": write a time zone of the IANA database, such as Africa/Johannesburg`)
  const abandonReasons = value('abandonReasons') || 'hungup,callee_hungup'
  if (!/^[^\s,]+(,[^\s,]+)*$/.test(abandonReasons))
    faults.push(
      `abandonReasons "${abandonReasons}": write end reasons, separated by commas, such as hungup,callee_hungup`,
    )
  const abandonOf = value('abandonOf') || 'answered'
  if (abandonOf !== 'answered' && abandonOf !== 'cdrs')
    faults.push(`abandonOf "${abandonOf}": write answered, or cdrs to compare with all CDRs`)
  const abandonThreshold = value('abandonThreshold') || '3%'
  if (!/^\d{1,2}(\.\d+)?%$/.test(abandonThreshold))
    faults.push(`abandonThreshold "${abandonThreshold}": write a share such as 3%`)
  const parkedDays = Number(value('parkedDays') || 30)
  if (!Number.isInteger(parkedDays) || parkedDays < 1 || parkedDays > 3_650)
    faults.push(`parkedDays "${value('parkedDays')}": write a whole number of days, 1 to 3650, such as 30`)
  const binDays = Number(value('binDays') || 7)
  if (!Number.isInteger(binDays) || binDays < 1 || binDays > 3_650)
    faults.push(`binDays "${value('binDays')}": write a whole number of days, 1 to 3650, such as 7`)
  const missingMinutes = Number(value('missingMinutes') || 15)
  if (!Number.isInteger(missingMinutes) || missingMinutes < 1 || missingMinutes > 1_440)
    faults.push(`missingMinutes "${value('missingMinutes')}": write a whole number of minutes, 1 to 1440, such as 15`)
  const apiConcurrency = value('apiConcurrency')
  if (apiConcurrency !== '' && !/^[1-9]\d{0,3}$/.test(apiConcurrency))
    faults.push(
      `apiConcurrency "${apiConcurrency}": write the number of concurrent requests of the API, 1 to 9999, such as 20`,
    )
  const events = value('events')
  if (events !== '' && !/^[1-9]\d{0,3}$/.test(events))
    faults.push(`events "${events}": write the number of concurrent streams of changes, 1 to 9999, such as 5`)
  const keep = value('keep') || 'yes'
  if (keep !== 'yes' && keep !== 'no')
    faults.push(`keep "${keep}": write yes, or no to delete queues and logs with the stack`)
  const tracing = value('tracing') || 'no'
  if (tracing !== 'yes' && tracing !== 'no')
    faults.push(`tracing "${tracing}": write yes to have X-Ray trace the functions, or no`)
  if (faults.length > 0) throw new DeployError('deploy.options.invalid', faults.join('\n'))
  return {
    prefix,
    logRetentionDays,
    alarmEmail,
    corsOrigin,
    callLimitSeconds,
    timeZone,
    abandonReasons,
    abandonOf,
    abandonThreshold,
    parkedDays,
    binDays,
    missingMinutes,
    kmsKeyArn,
    apiConcurrency: apiConcurrency === '' ? undefined : Number(apiConcurrency),
    events: events === '' ? undefined : Number(events),
    keep: keep === 'yes',
    tracing: tracing === 'yes',
    routes,
  }
}

export type PackageArguments = {
  readonly stage: string
  /** '' if none is given. */
  readonly region: string
  /** The folder of the package. */
  readonly folder: string
  readonly stack: StackOptions
}

/** Parses the arguments: those that are read here, and those that only the framework reads, which rejects others after it has packaged. */
function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        stage: { type: 'string', short: 's' },
        region: { type: 'string', short: 'r' },
        package: { type: 'string', short: 'p' },
        param: { type: 'string', multiple: true },
        'aws-profile': { type: 'string' },
        verbose: { type: 'boolean' },
        force: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    const [why] = (error instanceof Error ? error.message : String(error)).split(/[.\n]/)
    throw new DeployError(
      'deploy.options.invalid',
      `${why}; the options are --stage, --region, --param=name=value, --package, --aws-profile, --verbose, --force, and --check of npm run deploy`,
    )
  }
}

/** Reads the arguments of the framework: `--stage prod --region eu-west-1 --param="prefix=acme-"`. @throws DeployError `deploy.options.invalid` */
export function readArguments(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  routes: readonly StackRoute[],
): PackageArguments {
  const values = parse(args)
  const stage = values.stage || 'dev'
  const given = (values.param ?? []).map((one) => one.split(/=(.*)/s))
  const parameters = Object.fromEntries(given.map(([name = '', value = '']) => [name, value]))
  return {
    stage,
    region: values.region || env['AWS_REGION']?.trim() || env['AWS_DEFAULT_REGION']?.trim() || '',
    folder: values.package || '.serverless',
    stack: readStackOptions({ prefix: `enigma-${stage}-`, ...parameters }, routes),
  }
}
