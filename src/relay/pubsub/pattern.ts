/**
 * Redis' glob, as PSUBSCRIBE matches channels: `*`, `?`, `[a-z]`, `[^a]`, `\` before a literal character.
 * Source: stringmatchlen in Redis' util.c, whose odd cases (an unclosed bracket, a reversed range) are followed.
 */
export function matchesPattern(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let starP = -1
  let starT = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      starP = ++p
      starT = t
      continue
    }
    const step = p < pattern.length ? matchOne(pattern, p, text.charCodeAt(t)) : -1
    if (step < 0 && starP < 0) return false
    p = step < 0 ? starP : p + step
    t = step < 0 ? ++starT : t + 1
  }
  while (pattern[p] === '*') p++
  return p >= pattern.length
}

/** How many units of the pattern at `p` match one unit of text, or -1. */
function matchOne(pattern: string, p: number, unit: number): number {
  const head = pattern[p]
  if (head === '?') return 1
  if (head === '[') return matchSet(pattern, p, unit)
  if (head === '\\' && p + 1 < pattern.length) return pattern.charCodeAt(p + 1) === unit ? 2 : -1
  return pattern.charCodeAt(p) === unit ? 1 : -1
}

function matchSet(pattern: string, start: number, unit: number): number {
  let p = start + 1
  const not = pattern[p] === '^'
  if (not) p++
  let match = false
  while (p < pattern.length && pattern[p] !== ']') {
    if (pattern[p] === '\\' && p + 1 < pattern.length) {
      p++
      if (pattern.charCodeAt(p) === unit) match = true
    } else if (pattern[p + 1] === '-' && p + 2 < pattern.length) {
      const a = toChar(pattern.charCodeAt(p))
      const b = toChar(pattern.charCodeAt(p + 2))
      const c = toChar(unit)
      if (c >= Math.min(a, b) && c <= Math.max(a, b)) match = true
      p += 2
    } else if (pattern.charCodeAt(p) === unit) match = true
    p++
  }
  const end = p < pattern.length ? p + 1 : p
  return match !== not ? end - start : -1
}

/** Redis compares the ends of a range as C's `char`, which has a sign on x86: only a range with an end outside ASCII can tell. */
const toChar = (unit: number): number => (unit > 127 ? unit - 256 : unit)

/** The first of the patterns that matches: where patterns overlap, Redis sends a copy for each, and only this one counts. */
export function firstMatch(patterns: readonly string[], channel: string): string | undefined {
  return patterns.find((pattern) => matchesPattern(pattern, channel))
}
