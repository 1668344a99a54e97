import { argumentsOf, restOf, namesOf, type Step, type StepName, STEPS } from './steps.ts'
import { EffectError } from './store-errors.ts'
import { toBytes, isObject, type Notification, type Transport } from '../protocol/index.ts'

/** The attributes of a CloudEvent. */
export type CloudEventAttributes = Omit<Notification, 'data'>

/** What an effect is made of: what the adapter's `event(c, schema)` gives. */
export type StoreEvent<Payload = unknown> = {
  readonly id: string
  /** The source's id: `main`. */
  readonly source: string
  readonly type: string
  readonly subType: string
  readonly reference?: string | undefined
  /** ISO 8601. */
  readonly time: string
  readonly timeMs: number
  readonly transport: Transport
  readonly channel: string
  readonly sequence: string
  readonly stale: boolean
  /** Unix ms from which it is stale, for an effect that is committed late; absent where it never is. */
  readonly staleAtMs?: number | undefined
  readonly reason?: string | undefined
  readonly payload: Payload
  /** The packet, exactly as received. */
  readonly data: string | Uint8Array
  /** Its CloudEvent as it came. Absent: as the relay would have made it. */
  readonly attributes?: CloudEventAttributes
}

/** Longest state (characters) that is kept: it is a word, and each of a hundred in a history has one. */
const MAX_STATE = 200

/** A state as it is kept: one that is too long for a word loses its end, or a history of such would be larger than any reply may be. */
export const toState = (text: string): string => text.slice(0, MAX_STATE)

/** A text without the characters that separate the parts of a value in the read model. */
export const plain = (text: string): string => text.replace(/[\u001d-\u001f]/g, ' ')

/**
 * What orders two notifications: `source|transport|sequence|unix ms|id`. The sequence compares within one source and transport,
 * else the time does.
 */
export function toStamp(event: Pick<StoreEvent, 'source' | 'transport' | 'sequence' | 'timeMs' | 'id'>): string {
  return plain(
    `${toSource(event)}|${event.transport}|${event.sequence.replaceAll('|', '_')}|${Math.round(event.timeMs)}|${event.id}`,
  )
}

/** A change that a step makes, for the stream of changes: no personal data. */
export type Change = {
  /** `agents/status` */
  readonly kind: string
  readonly ref: string
  readonly campaign_ref?: string | undefined
  readonly state?: string | undefined
  /** Of a CDR. */
  readonly call_ref?: string | undefined
}

/** A change as an entry of the stream has it, in JSON, with the notification that made it. The script adds what only it knows (`note_state`). */
export const toChange = (
  event: Pick<StoreEvent, 'id' | 'source' | 'transport' | 'sequence'>,
  { kind, ref, campaign_ref, state, call_ref }: Change,
): string =>
  JSON.stringify({
    kind,
    ref,
    campaign_ref: campaign_ref || undefined,
    state: state || undefined,
    call_ref: call_ref || undefined,
    source: event.source,
    transport: event.transport,
    sequence: event.sequence,
    notification_id: event.id,
  })

/** The source as stamps have it. */
export const toSource = ({ source }: Pick<StoreEvent, 'source'>): string => plain(source.replaceAll('|', '_'))

/** When it was received: ISO 8601 in UTC, whatever form a foreign event gives. */
export const toReceived = ({ timeMs }: Pick<StoreEvent, 'timeMs'>): string => new Date(timeMs).toISOString()

/** Unix ms of a time, or of another where it cannot be read. */
export function toMs(time: string, otherwise: number): number {
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? otherwise : ms
}

/** Text or null. */
export const textOr = (value: unknown): string | null =>
  typeof value === 'string' && value !== ''
    ? value
    : typeof value === 'number' || typeof value === 'bigint'
      ? String(value)
      : null

/** Finite number or null. */
export const numberOr = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null

/**
 * A change of the read model: plain data, made by a handler and committed with all others of its batch. Applied twice it changes
 * nothing the second time; applied late it overwrites nothing newer.
 */
export type Effect = { readonly steps: readonly Step[] }

/** A step goes in one request, of which Upstash takes 1 MB, the script and some numbers included. */
const MAX_BYTES = 850_000

/** Redis takes so many arguments of one command in a script, and Lua no more than some 8,000 (`LUAI_MAXCSTACK`). */
const MAX_ARGUMENTS = 7_000

/** A character takes no more bytes in JSON: `\u0000`. */
const MAX_BYTES_EACH = 6

/** Steps as an effect. @throws EffectError as `checkEffect` does */
export function toEffect(steps: readonly Step[]): Effect {
  const effect = { steps }
  checkEffect(effect)
  return effect
}

/**
 * Rejects an effect that the script would not take, or that no request can carry: for its own notification, since in the commit it would hold up
 * all others of its batch. The compiler does so for effects that are made with `step`; this does for any.
 *
 * @throws EffectError that names the step and what is wrong with it
 */
export function checkEffect(effect: unknown): asserts effect is Effect {
  const steps = isObject(effect) ? effect['steps'] : undefined
  if (!Array.isArray(steps))
    throw invalid(
      'an effect has the form { steps: […] }: create it with toEffect([step(…)]), or with a function such as latest(event)',
    )
  for (const one of steps as unknown[]) {
    const { name, values, rest } = isObject(one) ? one : {}
    if (typeof name !== 'string' || !Object.hasOwn(STEPS, name))
      throw invalid(
        `the read model has no step ${JSON.stringify(name) ?? 'without a name'}; its steps are ${Object.keys(STEPS).join(', ')}`,
      )
    const own = isObject(values) ? values : {}
    const missing = namesOf(name as StepName).find((argument) => typeof own[argument] !== 'string')
    if (missing !== undefined) throw invalid(`the step ${name} needs ${missing}, as a string`)
    if (!Array.isArray(rest) || rest.some((text) => typeof text !== 'string'))
      throw invalid(`the further arguments of the step ${name} are not an array of strings`)
    if (rest.length > 0 && restOf(name as StepName) === undefined)
      throw invalid(`the step ${name} accepts no further arguments`)
    checkSize(argumentsOf(one as Step))
  }
}

const invalid = (words: string) => new EffectError(words, 'store.effect.invalid')

function checkSize(texts: readonly string[]): void {
  if (texts.length > MAX_ARGUMENTS)
    throw new EffectError('the notification has more fields than the read model accepts')
  const length = texts.reduce((sum, text) => sum + text.length, 0)
  // Measured only where it may be too much.
  if (length * MAX_BYTES_EACH > MAX_BYTES && toBytes(JSON.stringify(texts)).length > MAX_BYTES)
    throw new EffectError('the notification is larger than the read model accepts')
}
