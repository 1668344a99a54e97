import { isObject } from './text.ts'
import { referenceOf } from './values.ts'

/** What the relay, the queue and the function of a route keep to. */
export type Limits = {
  /** A notification older than this (ms) is stale: it is handled, but never shown as live. Absent: never stale. */
  readonly maxAgeMs?: number
  /** How many ordered streams the route has. Changing it moves references to other lanes. */
  readonly lanes: number
  /** Requests to SQS in flight at once. */
  readonly inFlight: number
  /** How long (ms) a notification may wait for company when nothing else makes it wait; 0: leaves at once. */
  readonly lingerMs: number
  /** Least time (ms) between two requests while more than 1,000 notifications come in a second: fewer and fuller ones. 0: none. */
  readonly paceMs: number
  /** Most notifications in one pack. */
  readonly packNotifications: number
  /** Most bytes in one pack, unless one notification alone is larger. SQS bills each 64 KiB. */
  readonly packBytes: number
  /** On this attempt, what its handler fails at is parked alone. */
  readonly attempts: number
  /**
   * How often SQS hands out a message before it goes to the dead-letter queue whole. More than `attempts`: only a read model that is away for
   * hours, or a function that ends in the middle each time, comes so far.
   */
  readonly maxReceiveCount: number
  /**
   * The function's time limit (s); the queue's visibility timeout is six times this. So long waits the lane of a message whose function
   * was killed: one that fails in any other way is given back at once.
   */
  readonly timeoutSeconds: number
  /** The function's memory (MiB); its share of a processor goes with it. */
  readonly memoryMiB: number
  /** Longest time (s) for one notification: the effects of its neighbours in a batch wait for it. Absent: as long as the function may run. */
  readonly handlerSeconds?: number
  /** Longest pause (s) before one that fails is tried again: SQS holds back all that is new in its lane meanwhile. */
  readonly retrySeconds: number
  /** The same while the read model cannot be written: so long after its outage a lane may still wait. */
  readonly outageSeconds: number
  /** Most invocations of the function at once, 2 to 1,000. */
  readonly maxConcurrency: number
  /** A message that waits in the queue for longer than this (s) raises an alarm. */
  readonly alarmAgeSeconds: number
}

/** A (type, sub_type) of the dialler with a queue and a function of its own. */
export type Route = Limits & {
  /** Unique: `agents-status`, `other`. Queue and function are named after it. */
  readonly name: string
  /** The canonical (plural) type of the key; `*` for the route that takes everything else. */
  readonly type: string
  /** The packet's `type`. */
  readonly subType: string
}

/** What a function may do in AWS, as in an IAM policy: `{ actions: ['sns:Publish'], resources: ['arn:aws:sns:…'] }`. */
export type Statement = { readonly actions: readonly string[]; readonly resources: readonly string[] }

/** What a function needs besides its queue and the read model. Only this function gets it. */
export type Needs = {
  /** Variables that are no secrets: whoever may see the function's configuration sees them. */
  readonly variables?: Readonly<Record<string, string>>
  /** Secrets, and what differs by stage: `setting('CRM_TOKEN')` reads what Parameter Store has as `/enigma-prod/crm-token`. At most eight. */
  readonly secrets?: readonly string[]
  readonly statements?: readonly Statement[]
  /** Where it runs, to reach what is only there. It then reaches Upstash and AWS by that network's own way out. */
  readonly vpc?: { readonly subnetIds: readonly string[]; readonly securityGroupIds: readonly string[] }
}

/** All that there is to say of a sub_type: in `functions/<type>/<sub_type>.ts`, beside its Hono app. */
export type Declaration<Payload = unknown> = Partial<Limits> &
  Needs & {
    /** As in the key, in the plural: `agents`. */
    readonly type: string
    /** As in the packet's `type`: `call`. */
    readonly subType: string
    /** What a payload must be: a schema of any Standard Schema library. One that does not fit is parked. */
    readonly payload: StandardSchema<Payload>
  }

export type DeclaredRoute<Payload = unknown> = Route &
  Needs & {
    readonly payload: StandardSchema<Payload>
    /** Where the app takes it: `/agents/call/:ref?`. */
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
  // 3.9 hours at the pauses below.
  maxReceiveCount: 50,
  timeoutSeconds: 30,
  memoryMiB: 256,
  retrySeconds: 300,
  outageSeconds: 300,
  maxConcurrency: 10,
  alarmAgeSeconds: 300,
}

/**
 * Declares a sub_type: its queue, dead-letter queue, function, role and alarms are made of this. Nothing is checked here; the build
 * loads the file and says what is wrong with it.
 *
 * @example
 * export const route = defineRoute({ type: 'agents', subType: 'break', payload: AgentBreak, alarmAgeSeconds: 60 })
 */
export function defineRoute<Payload>(declaration: Declaration<Payload>): DeclaredRoute<Payload> {
  const { type, subType } = declaration
  return { ...DEFAULT_LIMITS, name: `${type}-${subType}`, path: `/${type}/${subType}/:ref?`, ...declaration }
}

/** What people look at goes on soon after an outage, and what is handed out more often has more tries: fifty minutes of them. */
export const WATCHED_LIMITS = { outageSeconds: 30, maxReceiveCount: 100 } as const satisfies Partial<Limits>

/**
 * A screen pop is waited for by a human: more of a processor, so that also a cold start is short, and no long wait for a neighbour that
 * hangs or is tried again. One that is older is worthless: the agent has long been talking, or has hung up.
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

/** `enigma-agents-status.fifo` */
export const queueName = (prefix: string, { name }: Pick<Route, 'name'>): string => `${prefix}${name}.fifo`

/** `enigma-agents-status-dlq.fifo` */
export const deadLetterQueueName = (prefix: string, { name }: Pick<Route, 'name'>): string =>
  `${prefix}${name}-dlq.fifo`

/** How long (s) a queue keeps a message, and the most bytes of one: SQS takes no more of either. Source: quotas in the SQS developer guide. */
export const QUEUE_LIMITS = { retentionSeconds: 14 * 24 * 3600, messageBytes: 1024 * 1024 } as const

/** Six times the function's limit: a message that is in work is not handed out again meanwhile. Source: AWS Lambda developer guide. */
export const visibilitySeconds = ({ timeoutSeconds }: Route): number => timeoutSeconds * 6

/**
 * What keeps its order: the channel's reference; for list items, which have none, the payload's `call_ref`, else its `ref`;
 * else the empty text, so that what names nothing stays in one order too.
 */
export function orderKey(reference: string | undefined, payload: unknown): string {
  if (reference !== undefined && reference !== '') return reference
  if (!isObject(payload)) return ''
  return referenceOf(payload['call_ref']) ?? referenceOf(payload['ref']) ?? ''
}

/** The lane of an order key: FNV-1a over its UTF-16 units, modulo the number of lanes. The SQS message group is its decimal text. */
export function laneOf(key: string, lanes: number): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) {
    hash ^= key.charCodeAt(at)
    hash = Math.imul(hash, 0x01000193)
  }
  return (hash >>> 0) % lanes
}

/**
 * The part of Standard Schema that is used here, so that any library which has it (valibot, zod, arktype …) fits without being
 * named. Source: https://standardschema.dev
 */
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
