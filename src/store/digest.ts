/**
 * Tells whether two payloads say the same, however they were serialised: fields in any order at every depth, numbers and text alike
 * (`12` and `"12"`), and null as if it were absent. Two 32-bit FNV-1a hashes with different seeds: copies of one key are compared
 * with each other, and with nothing else.
 */
export function toDigest(payload: unknown): string {
  const text = JSON.stringify(toCanonical(payload)) ?? ''
  return [0x811c9dc5, 0x01000193].map((seed) => hash(text, seed).toString(16).padStart(8, '0')).join('')
}

function toCanonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toCanonical)
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .filter(([, inner]) => inner !== null && inner !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, inner]) => [name, toCanonical(inner)])
}

function hash(text: string, seed: number): number {
  let state = seed
  for (let at = 0; at < text.length; at++) {
    state ^= text.charCodeAt(at)
    state = Math.imul(state, 0x01000193)
  }
  return state >>> 0
}
