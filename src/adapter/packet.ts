import { isObject, parseExact } from '../protocol/index.ts'

/** The packet of a notification, or undefined when it is not a JSON object. Long integers come as strings of their digits. */
export function toPacket(data: string | Uint8Array): Record<string, unknown> | undefined {
  if (typeof data !== 'string' || data === '') return undefined
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
