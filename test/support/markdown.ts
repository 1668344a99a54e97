/* Reads only the parts of Markdown that a link check needs (headings, anchors, links), as GitHub renders them. */

/** Replaces fenced code, comments and code spans with spaces, so that line numbers do not change. */
function withoutCode(markdown: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, ' ')
  return markdown
    .replace(/^ {0,3}(`{3,}|~{3,})[^\n]*\n(?:[\s\S]*?\n)? {0,3}\1[`~]* *$/gm, blank)
    .replace(/<!--[\s\S]*?-->/g, blank)
    .replace(/(?<!`)(`+)(?!`)((?:[^`]|(?!\1(?!`))`)+?)\1(?!`)/g, blank)
}

/** Returns the text of a heading, without the markup of code, links and emphasis. */
const plainText = (heading: string): string =>
  heading
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/<[^>]+>/g, '')
    .replace(/\*+/g, '')
    .replaceAll('`', '')
    .trim()

/**
 * Returns the anchor that GitHub generates for a heading: lower case, without punctuation, with a hyphen for each space.
 * Source: https://github.com/Flet/github-slugger
 */
export const toSlug = (heading: string): string =>
  plainText(heading)
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-')

/** Returns the anchors of a document: those of its headings (repeated ones end in `-1`, `-2` …), and those in HTML. */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>()
  // Fenced code may contain comments that look like headings, so find headings without code, but keep their code spans.
  const lines = markdown.split('\n')
  for (const [at, line] of withoutCode(markdown).split('\n').entries()) {
    if (!/^ {0,3}#{1,6} /.test(line)) continue
    const slug = toSlug((lines[at] as string).replace(/^ *#+ +/, '').replace(/ +#+ *$/, ''))
    let anchor = slug
    for (let copy = 1; anchors.has(anchor); copy++) anchor = `${slug}-${copy}`
    anchors.add(anchor)
  }
  for (const [, id = ''] of withoutCode(markdown).matchAll(/<a\s[^>]*?\b(?:id|name)="([^"]+)"/g)) anchors.add(id)
  return anchors
}

/** Returns the targets of all links and images of a document. */
export function linksOf(markdown: string): string[] {
  const text = withoutCode(markdown)
  const inline = [...text.matchAll(/\]\(\s*<?([^\s<>()]+(?:\([^\s()]*\)[^\s<>()]*)*)>?(?:\s+"[^"]*")?\s*\)/g)]
  const defined = [...text.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?/gm)]
  const html = [...text.matchAll(/<(?:a|img|source|video)\s[^>]*?\b(?:href|src|srcset)="([^"\s]+)/g)]
  return [...inline, ...defined, ...html].map(([, target = '']) => target)
}

/** Returns the contents of all code spans outside of fenced code. */
export function codeSpansOf(markdown: string): string[] {
  const fenced = markdown.replace(/^ {0,3}(`{3,}|~{3,})[^\n]*\n(?:[\s\S]*?\n)? {0,3}\1[`~]* *$/gm, '')
  return [...fenced.matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map(([, code = '']) => code)
}
