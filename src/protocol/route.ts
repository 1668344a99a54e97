import { hashText, isObject } from './text.ts'
import { referenceOf } from './values.ts'

/** The limits of a route, for the relay, the queue and the function. */
export type Limits = {
  /** A notification older than this (ms) is stale: it is handled, but never shown as live. Absent: a notification never becomes stale. */
  readonly maxAgeMs?: number
  /** The number of ordered streams. Changing it moves references to other lanes. */
  readonly lanes: number
  /** The maximum number of requests to the target in flight. */
  readonly inFlight: number
  /** How long (ms) a notification may wait for others that share its request. 0: it is sent at once. */
  readonly lingerMs: number
  /** The minimum time (ms) between two requests while more than 1,000 notifications arrive per second, for fewer and fuller requests. 0: no minimum. */
  readonly paceMs: number
  /** The maximum number of notifications in a pack. */
  readonly packNotifications: number
  /** The maximum size of a pack (bytes). A larger notification travels alone. SQS bills each 64 KiB. */
  readonly packBytes: number
  /** A notification that fails on this attempt is parked, without the other notifications of its message. */
  readonly attempts: number
  /**
   * How often SQS delivers a message before it moves the whole message to the dead-letter queue. It should be greater than `attempts`: a message
   * then reaches that queue only if the read model is unavailable for hours, or if the function crashes each time.
   */
  readonly maxReceiveCount: number
  /**
   * The time limit of the function (s). The visibility timeout of the queue is six times as long: the lane of a message waits that long if Lambda
   * kills the function. After any other failure, the message returns to the queue after its back-off.
   */
  readonly timeoutSeconds: number
  /** The memory of the function (MiB). Lambda gives it CPU in proportion. */
  readonly memoryMiB: number
  /** The time limit for one notification (s). The effects of the other notifications in its batch wait for it. Absent: the time limit of the function. */
  readonly handlerSeconds?: number
  /** The longest pause (s) before a failed notification is retried. Meanwhile, SQS holds back new messages of its lane. */
  readonly retrySeconds: number
  /** The longest pause (s) while the read model is unavailable. A lane may still wait this long after the outage has ended. */
  readonly outageSeconds: number
  /** The maximum number of concurrent invocations of the function, 2 to 1,000. */
  readonly maxConcurrency: number
  /** An alarm is raised when a message waits in the queue longer than this (s). */
  readonly alarmAgeSeconds: number
}

/** A (type, sub_type) of the dialler that has its own queue and function. */
export type Route = Limits & {
  /** The unique name, after which queue and function are named: `agents-status`, `other`. */
  readonly name: string
  /** The canonical (plural) type of the key. `*` for the route `other`. */
  readonly type: string
  /** The `type` of the packet. */
  readonly subType: string
}

/** A permission of a function, as in an IAM policy: `{ actions: ['sns:Publish'], resources: ['arn:aws:sns:…'] }`. */
export type Statement = { readonly actions: readonly string[]; readonly resources: readonly string[] }

/** Resources and permissions that a function needs besides its queue and the read model. Only this function gets them. */
export type Needs = {
  /** Environment variables. Do not put secrets here: everybody who may see the function's configuration sees them. */
  readonly variables?: Readonly<Record<string, string>>
  /** Names of settings in Parameter Store, for secrets and values that differ by stage: `setting('CRM_TOKEN')` reads `/enigma-prod/crm-token`. At most eight. */
  readonly secrets?: readonly string[]
  readonly statements?: readonly Statement[]
  /** The VPC in which the function runs, if it needs resources there. That VPC then needs its own route to Upstash and AWS. */
  readonly vpc?: { readonly subnetIds: readonly string[]; readonly securityGroupIds: readonly string[] }
}

/** The declaration of a sub_type, in `functions/<type>/<sub_type>.ts` next to its Hono app. */
export type Declaration<Payload = unknown> = Partial<Limits> &
  Needs & {
    /** The type in the key, in the plural: `agents`. */
    readonly type: string
    /** The `type` of the packet: `call`. */
    readonly subType: string
    /** The schema of the payload, from any Standard Schema library. A notification whose payload does not match is parked. */
    readonly payload: StandardSchema<Payload>
  }

export type DeclaredRoute<Payload = unknown> = Route &
  Needs & {
    readonly payload: StandardSchema<Payload>
    /** The path for the app's handler: `/agents/call/:ref?`. */
    readonly path: string
  }

export const DEFAULT_LIMITS: Limits = {
  lanes: 64,
  inFlight: 4,
  lingerMs: 0,
  paceMs: 6,
  packNotifications: 200,
  packBytes: 64 * 1024,
  attempts: 10,
  // 50 deliveries take about 3.5 hours with the pauses below.
  maxReceiveCount: 50,
  timeoutSeconds: 30,
  memoryMiB: 256,
  retrySeconds: 300,
  outageSeconds: 300,
  maxConcurrency: 10,
  alarmAgeSeconds: 300,
}

/**
 * Declares a sub_type. Its queue, dead-letter queue, function, role and alarms are derived from the declaration. Does not validate: the build
 * loads the file and reports its faults.
 *
 * @example
 * export const route = defineRoute({ type: 'agents', subType: 'break', payload: AgentBreak, alarmAgeSeconds: 60 })
 */
export function defineRoute<Payload>(declaration: Declaration<Payload>): DeclaredRoute<Payload> {
  const { type, subType } = declaration
  return { ...DEFAULT_LIMITS, name: `${type}-${subType}`, path: `/${type}/${subType}/:ref?`, ...declaration }
}

/** For user-facing routes: short pauses, so that they recover quickly after an outage, and so more deliveries (they last three quarters of an hour). */
export const WATCHED_LIMITS = { outageSeconds: 30, maxReceiveCount: 100 } as const satisfies Partial<Limits>

/**
 * For screen pops, because an agent waits for them: more CPU, so that a cold start is short too, and short time limits, so that a call does not
 * wait long for another that hangs or is retried. An older call is worthless: the agent is already talking, or has hung up.
 */
export const CALL_LIMITS = {
  maxAgeMs: 30_000,
  paceMs: 0,
  memoryMiB: 512,
  timeoutSeconds: 10,
  handlerSeconds: 5,
  retrySeconds: 5,
  ...WATCHED_LIMITS,
  maxConcurrency: 50,
  alarmAgeSeconds: 5,
} as const satisfies Partial<Limits>

/** Returns the name of the queue of a route: `enigma-agents-status.fifo`. */
export const queueName = (prefix: string, { name }: Pick<Route, 'name'>): string => `${prefix}${name}.fifo`

/** Returns the name of the dead-letter queue of a route: `enigma-agents-status-dlq.fifo`. */
export const deadLetterQueueName = (prefix: string, { name }: Pick<Route, 'name'>): string =>
  `${prefix}${name}-dlq.fifo`

/** Returns whether an error of the AWS SDK means that the queue does not exist. The SDK's two protocols have different names for it. */
export const isMissingQueue = (error: unknown): boolean =>
  error instanceof Error && /NonExistentQueue|QueueDoesNotExist/.test(error.name)

/** The retention period of a queue (s) and the maximum size of a message (bytes), both at SQS' own maximum. Source: quotas in the SQS developer guide. */
export const QUEUE_LIMITS = { retentionSeconds: 14 * 24 * 3600, messageBytes: 1024 * 1024 } as const

/** Returns the visibility timeout of a queue (s), six times the time limit of its function, as the AWS Lambda developer guide recommends. */
export const visibilitySeconds = ({ timeoutSeconds }: Route): number => timeoutSeconds * 6

/**
 * Returns the order key: the reference in the channel. List items have none there, so their order key is the `call_ref` of the payload, else its
 * `ref`. Notifications that have neither share the empty order key, so they stay in order too.
 */
export function orderKey(reference: string | undefined, payload: unknown): string {
  if (reference !== undefined && reference !== '') return reference
  if (!isObject(payload)) return ''
  return referenceOf(payload['call_ref']) ?? referenceOf(payload['ref']) ?? ''
}

/** Returns the lane of an order key: FNV-1a over its UTF-16 units, modulo the number of lanes. The SQS message group is the lane in decimal. */
export const laneOf = (key: string, lanes: number): number => hashText(key) % lanes

/** The part of Standard Schema that is used here, so that any library works (valibot, zod, arktype …). Source: https://standardschema.dev */
export type StandardSchema<Output = unknown> = {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
  }
}

export type SchemaResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] }

export type SchemaIssue = {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}
