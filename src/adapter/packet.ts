import { isDeeper, isObject, parseExact } from '../protocol/index.ts'

/** A dialler's packets have a few levels; what walks through many, such as `JSON.stringify`, runs out of stack. */
export const MOST_LEVELS = 500

/** Whether a packet is nested too deep to be read. */
export const isTooDeep = (data: string | Uint8Array): boolean => typeof data === 'string' && isDeeper(data, MOST_LEVELS)

/** The packet of a notification, or undefined when it is not a JSON object, or nested too deep. Long integers come as strings of their digits. */
export function toPacket(data: string | Uint8Array): Record<string, unknown> | undefined {
  if (typeof data !== 'string' || data === '' || isTooDeep(data)) return undefined
  try {
    const value = parseExact(data)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** `make()` once, when it is first asked for. */
export function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: make() }).value
}
