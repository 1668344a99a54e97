/**
 * Finds the pieces of a JSON text without making values of them, so that `data` can be taken out as the very text it was.
 * The text must be valid JSON (it has been through `JSON.parse`); no check is made here.
 */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

function skipSpace(text: string, at: number): number {
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at
    at++
  }
}

function skipString(text: string, at: number): number {
  for (let from = at + 1; ;) {
    const end = text.indexOf('"', from)
    if (end < 0) return text.length
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end + 1
    from = end + 1
  }
}

/** The index just behind the value that starts at `at`. */
function skipValue(text: string, at: number): number {
  const first = text.charCodeAt(at)
  if (first === QUOTE) return skipString(text, at)
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) {
    while (at < text.length) {
      const code = text.charCodeAt(at)
      if (code === COMMA || code === CLOSE_OBJECT || code === CLOSE_ARRAY || code <= 0x20) break
      at++
    }
    return at
  }
  for (let depth = 0; at < text.length;) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = skipString(text, at)
      continue
    }
    at++
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) depth++
    else if ((code === CLOSE_OBJECT || code === CLOSE_ARRAY) && --depth === 0) break
  }
  return at
}

/** Calls back with each member of the object or array in a text, as raw JSON; in an array, names are ''. */
function scan(text: string, found: (value: string, name: string) => void): void {
  let at = skipSpace(text, 0)
  const isNamed = text.charCodeAt(at) === OPEN_OBJECT
  do {
    at = skipSpace(text, at + 1)
    const first = text.charCodeAt(at)
    if (at >= text.length || first === CLOSE_ARRAY || first === CLOSE_OBJECT) return
    let name = ''
    if (isNamed) {
      const colon = skipString(text, at)
      name = JSON.parse(text.slice(at, colon)) as string
      at = skipSpace(text, skipSpace(text, colon) + 1)
    }
    const end = skipValue(text, at)
    found(text.slice(at, end), name)
    at = skipSpace(text, end)
  } while (text.charCodeAt(at) === COMMA)
}

/** The texts of an object's members: name → raw JSON text of the value. Of a name given twice the last counts, as in `JSON.parse`. */
export function scanObject(text: string): Map<string, string> {
  const members = new Map<string, string>()
  scan(text, (value, name) => members.set(name, value))
  return members
}

/** The raw JSON texts of an array's elements. */
export function scanArray(text: string): string[] {
  const elements: string[] = []
  scan(text, (value) => elements.push(value))
  return elements
}

/** Whether arrays and objects lie in each other deeper than so many levels. Walking through them would end the stack of whoever does. */
export function isDeeper(text: string, levels: number): boolean {
  // Each level opens and closes.
  if (text.length <= levels * 2) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = skipString(text, at) - 1
    else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth--
    else if ((code === OPEN_ARRAY || code === OPEN_OBJECT) && ++depth > levels) return true
  }
  return false
}
