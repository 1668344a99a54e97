import { toBytes } from '../protocol/index.ts'

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
