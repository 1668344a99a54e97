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
