import * as v from 'valibot'
import { readText, Unsure, type Reading } from './values.ts'

/** The fields of payload schemas. No field is a reason to give up a notification, unless the notification says nothing without it. */

/** A field that may be absent or not known; read by `read`, which never refuses. */
export const maybe = <T>(read: (value: unknown) => Reading<T>) =>
  v.nullish(
    v.pipe(
      v.unknown(),
      v.transform((value): Reading<T> => read(value)),
    ),
  )

/** The same, always there: null when it is absent. */
export const always = <T>(read: (value: unknown) => Reading<T>) =>
  v.nullish(
    v.pipe(
      v.unknown(),
      v.transform((value): Reading<T> => read(value)),
    ),
    null,
  )

/** A text without which the notification says nothing. */
export const needed = v.pipe(
  v.unknown(),
  v.transform(readText),
  v.check((value) => value === null || typeof value === 'string', 'must be text or a number'),
  v.transform((value) => (typeof value === 'string' ? value : '')),
  v.nonEmpty('must not be empty'),
)

/** What was not read with certainty, as it was sent, by the field's name. */
export type UnsureFields = Readonly<Record<string, unknown>>

type Settled<T> = { [K in keyof T]: Exclude<T[K], Unsure> } & {
  /** The fields whose value was not read with certainty, and what was sent; the field itself is null, or the best guess. */
  unsure?: UnsureFields
}

function settle<T extends object>(payload: T): Settled<T> {
  const fields = payload as Record<string, unknown>
  let unsure: Record<string, unknown> | undefined
  // The name is ours: what a dialler sends by it would pass for a list of its own faults.
  delete fields['unsure']
  for (const [name, value] of Object.entries(fields)) {
    if (!(value instanceof Unsure)) continue
    fields[name] = value.used
    unsure = { ...unsure, [name]: value.sent }
  }
  if (unsure !== undefined) fields['unsure'] = unsure
  return payload as Settled<T>
}

/** A payload with these fields and any others; `unsure` names those that were not read with certainty. */
export const payload = <const E extends v.ObjectEntries>(entries: E) =>
  v.pipe(
    v.looseObject(entries),
    v.transform((output: v.InferOutput<v.LooseObjectSchema<E, undefined>>) => settle(output)),
  )
