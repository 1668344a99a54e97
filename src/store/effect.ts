import type { KindValue } from '../answers/index.ts'
import { isObject, type Notification, toBytes, type Transport } from '../protocol/index.ts'
import { argumentsOf, namesOf, restOf, step, type Step, type StepName, STEPS } from './steps.ts'
import { EffectError } from './store-errors.ts'

/** The attributes of a CloudEvent. */
export type CloudEventAttributes = Omit<Notification, 'data'>

/** The notification that an effect is created from. The adapter's `event(c, schema)` returns it. */
export type StoreEvent<Payload = unknown> = {
  readonly id: string
  /** The source id, such as `main`. */
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
  /** The time (Unix ms) from which the notification is stale, for effects that are committed late. Absent: never stale. */
  readonly staleAtMs?: number | undefined
  readonly reason?: string | undefined
  readonly payload: Payload
  /** The packet, exactly as received. */
  readonly data: string | Uint8Array
  /** The CloudEvent's attributes as received. Absent: those that the relay would have set. */
  readonly attributes?: CloudEventAttributes
}

/** Maximum characters of a stored state. A state is a word, and a history holds a hundred of them. */
const MAX_STATE = 200

/** Truncates a state to `MAX_STATE` characters. A history of longer states could exceed the maximum size of a reply. */
export const toState = (text: string): string => text.slice(0, MAX_STATE)

/** Replaces the characters that separate the parts of a value in the read model. */
export const plain = (text: string): string => text.replace(/[\u001d-\u001f]/g, ' ')

/**
 * Returns the stamp of a notification, which orders it: `source|transport|sequence|unix ms|id`. Sequences are compared within one source
 * and transport, times otherwise.
 */
export function toStamp(event: Pick<StoreEvent, 'source' | 'transport' | 'sequence' | 'timeMs' | 'id'>): string {
  return plain(
    `${toSource(event)}|${event.transport}|${event.sequence.replaceAll('|', '_')}|${Math.round(event.timeMs)}|${event.id}`,
  )
}

/** A change for the change stream. It contains no personal data. */
export type Change = {
  /** Such as `agents/status`. */
  readonly kind: string
  readonly ref: string
  readonly campaign_ref?: string | undefined
  readonly state?: string | undefined
  /** Only for a CDR. */
  readonly call_ref?: string | undefined
}

/**
 * Returns an entry of the change stream as JSON, with the notification that caused it. The script adds what only it knows (`note_state`),
 * such as the previous state.
 */
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

/** Returns the source in the form that stamps contain. */
export const toSource = ({ source }: Pick<StoreEvent, 'source'>): string => plain(source.replaceAll('|', '_'))

/** Returns the time of receipt as ISO 8601 in UTC, whatever format a foreign event uses. */
export const toReceivedAt = ({ timeMs }: Pick<StoreEvent, 'timeMs'>): string => new Date(timeMs).toISOString()

/** Parses a time into Unix ms. Returns the other value if the time cannot be read. */
export function toMs(time: string, otherwise: number): number {
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? otherwise : ms
}

/** Returns a number or a non-empty text as text, and null for any other value. */
export const textOr = (value: unknown): string | null =>
  typeof value === 'string' && value !== ''
    ? value
    : typeof value === 'number' || typeof value === 'bigint'
      ? String(value)
      : null

/** Returns a finite number, or null. */
export const numberOr = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null

/**
 * A change of the read model, as plain data. A handler creates it; it is committed together with the other effects of the batch. Applying
 * an effect twice changes nothing the second time; applying it late overwrites nothing newer.
 */
export type Effect = { readonly steps: readonly Step[] }

/** Maximum bytes of a step. A step must fit into one request (`maxRequestBytes` of `StoreOptions`), together with the names of keys and some numbers. */
const MAX_STEP_BYTES = 850_000

/**
 * Maximum arguments of a step. Redis limits the arguments of a command in a script, and Lua accepts no more than some 8,000
 * (`LUAI_MAXCSTACK`).
 */
const MAX_ARGUMENTS = 7_000

/** Maximum bytes of a character in JSON: `\u0000`. */
const MAX_CHARACTER_BYTES = 6

/** Creates an effect from steps. @throws EffectError as `checkEffect` does */
export function toEffect(steps: readonly Step[]): Effect {
  const effect = { steps }
  checkEffect(effect)
  return effect
}

/**
 * Checks that the script accepts an effect, and that it fits into a request. Only the notification with the invalid effect is rejected here;
 * in the commit, the effect would fail the whole batch. The compiler checks effects that are created with `step`; this checks any value.
 *
 * @throws EffectError that names the step and its fault
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
  // Measures the size only if it may exceed the limit.
  if (length * MAX_CHARACTER_BYTES > MAX_STEP_BYTES && toBytes(JSON.stringify(texts)).length > MAX_STEP_BYTES)
    throw new EffectError('the notification is larger than the read model accepts')
}

/**
 * Upstash encodes values in base64, which is a third larger, and limits a reply: to 1 MB until 2025, to 10 MB since. A larger value could be
 * written to an older database, but never read.
 */
const MAX_VALUE_BYTES = 512 * 1024

/**
 * Creates the effect that records the latest payload of a reference, of any kind, and keeps earlier ones. The payload is stored as JSON;
 * integers that a number cannot hold are stored as text.
 *
 * @example record(c, latest(await event(c, route)))
 * @throws EffectError if the payload is larger than the read model accepts
 */
export function latest(event: StoreEvent): Effect {
  const value: Omit<KindValue, 'stale'> = {
    notification_id: event.id,
    source: event.source,
    received_at: toReceivedAt(event),
    payload: event.payload ?? null,
  }
  const json = JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner))
  if (toBytes(json).length > MAX_VALUE_BYTES)
    throw new EffectError(`the payload is larger than ${MAX_VALUE_BYTES} bytes, the limit of latest`)
  const [kind, ref] = [`${event.type}/${event.subType}`, event.reference ?? '']
  return toEffect([
    step('latest', {
      kind,
      ref,
      stamp: toStamp(event),
      ms: String(Math.round(event.timeMs)),
      id: plain(event.id),
      stale_at: event.stale ? '0' : String(event.staleAtMs ?? ''),
      json,
      change: toChange(event, { kind, ref }),
    }),
  ])
}
