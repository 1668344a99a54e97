/** JSON as text: it is never read and written again, since that would change large numbers. */

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/gs

/** Nesting beyond which lines would be mostly spaces. */
const MAX_DEPTH = 50

/** Formats JSON with a line for each member and every digit unchanged. Returns a text that is not JSON unchanged. */
export function indentJson(text: string): string {
  try {
    JSON.parse(text)
  } catch {
    return text
  }
  let indented = ''
  let depth = 0
  let before = ''
  const line = () => `\n${'  '.repeat(depth)}`
  for (const [token] of text.matchAll(TOKEN)) {
    const isEnd = token === '}' || token === ']'
    const isEmpty = isEnd && (before === '{' || before === '[')
    if (isEnd) depth--
    else if (before === '{' || before === '[') indented += line()
    if (isEnd && !isEmpty) indented += line()
    indented += token
    if (token === ',') indented += line()
    if (token === ':') indented += ' '
    if ((token === '{' || token === '[') && ++depth > MAX_DEPTH) return text
    before = token
  }
  return indented
}
