/** Personal data never reaches a log or an error text unmasked: numbers, contacts, recordings, callees. */

const PERSONAL = new Set(['number', 'dial_number', 'contact_ref', 'recording_url', 'callees'])

/** `27821234567` → `27*******67`; what is too short to show is all stars. */
export function maskNumber(number: string): string {
  return number.length < 7 ? '*'.repeat(number.length) : number.slice(0, 2) + '*'.repeat(number.length - 4) + number.slice(-2)
}

/** A copy of a payload (or of anything that holds one) that may be shown: personal fields masked, `callees` only counted. */
export function maskPayload(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskPayload)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      if (!PERSONAL.has(name) || inner === null) return [name, maskPayload(inner)]
      if (Array.isArray(inner)) return [name, `${inner.length} masked`]
      return [name, maskNumber(String(inner))]
    }),
  )
}
