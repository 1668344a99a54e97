import { toBytes } from '../protocol/index.ts'

/** A control character, which no JSON text holds unescaped, separates the parts of a value … */
export const SEPARATOR = '\u001f'
/** … the entries of a value that is a list … */
const ENTRY_SEPARATOR = '\u001e'
/** … and the fields of a document: name, value, name, value … */
export const FIELD_SEPARATOR = '\u001d'

/** The fields of a document; empty where there is none. As `open` of `lua/documents.lua` reads it. */
export function parseDocument(text: unknown): Map<string, string> {
  const fields = new Map<string, string>()
  if (typeof text !== 'string') return fields
  const parts = text.split(FIELD_SEPARATOR)
  for (let at = 0; at + 1 < parts.length; at += 2) fields.set(parts[at] as string, parts[at + 1] as string)
  return fields
}

/** The entries of a list that is one text. */
export const parseEntries = (text: unknown): string[] =>
  typeof text === 'string' && text !== '' ? text.split(ENTRY_SEPARATOR) : []

/** Characters in one part of a large value: even if each takes six in JSON (`\\u0000`), a part stays far under Upstash's 1 MB. */
const PART_CHARACTERS = 128 * 1024

/** Cuts a text into parts that a request can carry; never between the halves of a surrogate pair. */
export function toParts(text: string): string[] {
  const parts: string[] = []
  for (let from = 0; from < text.length || parts.length === 0;) {
    let to = Math.min(text.length, from + PART_CHARACTERS)
    const last = text.charCodeAt(to - 1)
    if (to < text.length && last >= 0xd800 && last <= 0xdbff) to--
    parts.push(text.slice(from, to))
    from = to
  }
  return parts
}

/** Longest name (bytes) that is part of a key, or a field or a member of one, as it is. Upstash takes 32 KB for each of these. */
const MOST_BYTES = 512

/** The SHA-1 of a text, in hexadecimal digits: what Redis calls it too. */
export async function sha1(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-1', new Uint8Array(toBytes(text)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** What stands for a name in keys, fields and members: the name, or its digest where it is long. As `name` of the script has it. */
export async function toName(text: string): Promise<string> {
  return text.length * 3 <= MOST_BYTES || toBytes(text).length <= MOST_BYTES ? text : `~${await sha1(text)}`
}

/** Whether this stands for a longer name, which the key `name:<it>` holds. */
export const isDigest = (name: string): boolean => /^~[0-9a-f]{40}$/.test(name)
