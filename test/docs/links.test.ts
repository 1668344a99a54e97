import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { anchorsOf, codeSpansOf, linksOf, toSlug } from '../support/markdown.ts'

/* Every relative link of the documents leads to a file and to an anchor in it; every path that they name is there. */

const root = fileURLToPath(new URL('../..', import.meta.url))
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '')
const folders = new Set(files.flatMap((file) => parentsOf(file)))
const texts = new Map<string, string>()

function parentsOf(file: string): string[] {
  const parent = dirname(file)
  return parent === '.' ? [] : [parent, ...parentsOf(parent)]
}

function read(file: string): string {
  const text = texts.get(file) ?? readFileSync(join(root, file), 'utf8')
  texts.set(file, text)
  return text
}

const documents = files.filter(
  (file) => file.endsWith('.md') && /^(?:[A-Z]+\.md$|docs\/|examples\/|\.github\/)/.test(file),
)
const sources = files.filter((file) =>
  /^(?:src|functions|examples|infra|bench|test)\/.*\.(?:[tj]sx?|lua|service)$/.test(file),
)

const anchors = new Map<string, ReadonlySet<string>>()
const anchorsIn = (file: string): ReadonlySet<string> => {
  const found = anchors.get(file) ?? anchorsOf(read(file))
  anchors.set(file, found)
  return found
}

const isThere = (path: string): boolean => files.includes(path) || folders.has(path)

/** Returns why a link is broken; undefined if it is valid or leads to another site. */
function faultOf(document: string, link: string): string | undefined {
  if (/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(link)) return undefined
  if (link.startsWith('/')) return 'begins at the root of a site'
  const [path = '', anchor] = link.split('#', 2)
  const target =
    path === '' ? document : posix.normalize(posix.join(dirname(document), decodeURIComponent(path))).replace(/\/$/, '')
  if (!isThere(target)) return `there is no ${target}`
  if (anchor === undefined) return undefined
  if (!target.endsWith('.md')) return `${target} has no anchors`
  return anchorsIn(target).has(decodeURIComponent(anchor)) ? undefined : `${target} has no heading #${anchor}`
}

test('every relative link and anchor of the documents leads somewhere', () => {
  const broken = documents.flatMap((document) =>
    linksOf(read(document)).flatMap((link) => {
      const fault = faultOf(document, link)
      return fault === undefined ? [] : [`${document}: ${link}: ${fault}`]
    }),
  )
  expect(broken).toEqual([])
})

test('every page and anchor that sources and tests name exists', () => {
  const named = sources
    .filter((file) => file !== 'test/docs/links.test.ts')
    .flatMap((file) =>
      [...read(file).matchAll(/\bdocs\/([a-z-]+\.md)(?:#([\w-]+))?/g)].map(([name, page = '', anchor]) => ({
        file,
        name,
        page: `docs/${page}`,
        anchor,
      })),
    )
  expect(named.length).toBeGreaterThan(20)
  const broken = named.filter(
    ({ page, anchor }) => !isThere(page) || (anchor !== undefined && !anchorsIn(page).has(anchor)),
  )
  expect(broken.map(({ file, name }) => `${file}: ${name}`)).toEqual([])
})

/** Paths that a document names and the repository does not have: the reason. */
const MADE: Readonly<Record<string, string>> = {
  'functions/agents/break.ts': 'docs/functions.md makes it',
  'test/functions/agents-break.test.ts': 'docs/functions.md makes it',
}

test('every file and folder of the repository that a document names exists', () => {
  const path = /^(?:src|functions|examples|infra|bench|test|docs|dialler|\.ci|\.github)\/[\w./-]*$/
  const missing = documents
    // The changelog names former paths.
    .filter((document) => document !== 'CHANGELOG.md')
    .flatMap((document) =>
      codeSpansOf(read(document))
        .filter((code) => path.test(code) && MADE[code] === undefined && !isThere(code.replace(/\/$/, '')))
        .map((code) => `${document}: ${code}`),
    )
  expect(missing).toEqual([])
})

/** The names that a document gives with a file: `a` and `b` in `src/c.ts`. */
const namesIn = (text: string): { readonly file: string; readonly name: string }[] =>
  [...text.matchAll(/((?:`[\w.]+`(?:, | and | ))+)(?:in|of) `([\w./-]+\.(?:tsx?|lua))`/g)].flatMap(
    ([, names = '', file = '']) => [...names.matchAll(/`([\w.]+)`/g)].map(([, name = '']) => ({ file, name })),
  )

/** Whether a file defines a function, constant, type or property of this name. A call of it does not count. */
const defines = (file: string, name: string): boolean =>
  new RegExp(
    `(?:function\\*?|const|let|type|class) ${name.replaceAll('.', '\\.')}\\b|^\\s+${name}: |^\\s+(?:async )?${name}\\(.*\\{$`,
    'm',
  ).test(read(file))

test('every function that a document names with its file is in that file', () => {
  const named = documents
    .filter((document) => document !== 'CHANGELOG.md')
    .flatMap((document) => namesIn(read(document)).map((one) => ({ document, ...one })))
  expect(named.length).toBeGreaterThan(50)
  const wrong = named.filter(({ file, name }) => !isThere(file) || !defines(file, name))
  expect(wrong.map(({ document, file, name }) => `${document}: ${name} in ${file}`)).toEqual([])
})

test('a screen pop is followed in at most 40 files', () => {
  const [, rest = ''] = read('docs/architecture.md').split(/^## Follow a screen pop$/m)
  const [section = ''] = rest.split(/^## /m)
  const way = new Set(codeSpansOf(section).filter((code) => /^(?:src|functions|infra)\/.*\.(?:ts|lua)$/.test(code)))
  expect(way.size).toBeGreaterThan(20)
  expect(way.size).toBeLessThanOrEqual(40)
})

test('docs/README.md names every page of docs/', () => {
  const listed = new Set(linksOf(read('docs/README.md')).map((link) => `docs/${link.split('#')[0]}`))
  const pages = documents.filter((document) => document.startsWith('docs/') && document !== 'docs/README.md')
  expect(pages.filter((page) => !listed.has(page))).toEqual([])
})

test('the check sees links, and headings as GitHub names them', () => {
  const text = [
    '# One & two, `three_four`: [five](six.md)!',
    '## Again',
    '## Again',
    '```sh',
    '# no heading [no](link)',
    '```',
    '`[no](link)` and [a](b.md#c "title"), ![d](e.png), [f]',
    '<a id="own"></a> <img src="g.svg">',
    '[f]: h.md',
  ].join('\n')
  expect([...anchorsOf(text)]).toEqual(['one--two-three_four-five', 'again', 'again-1', 'own'])
  expect(linksOf(text).toSorted()).toEqual(['b.md#c', 'e.png', 'g.svg', 'h.md', 'six.md'])
  expect(toSlug('What a kill -9 does at each step')).toBe('what-a-kill--9-does-at-each-step')
  expect(faultOf('docs/relay.md', 'there-is-no-such-page.md')).toBe('there is no docs/there-is-no-such-page.md')
  expect(faultOf('docs/relay.md', 'relay.md#there-is-no-such-heading')).toContain('has no heading')
  expect(namesIn('`a` and `b.c` in `src/d.ts`, `e` of `src/f.lua`')).toEqual([
    { file: 'src/d.ts', name: 'a' },
    { file: 'src/d.ts', name: 'b.c' },
    { file: 'src/f.lua', name: 'e' },
  ])
  expect(['laneOf', 'lane'].map((name) => defines('src/protocol/route.ts', name))).toEqual([true, false])
  expect(['accept', 'gather'].map((name) => defines('src/relay/sender/sender.ts', name))).toEqual([true, false])
  expect(documents).toEqual(expect.arrayContaining(['README.md', 'CHANGELOG.md', 'docs/relay.md']))
})
