import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/* docs/logs.md lists every code that the sources write or throw, each once, and no other. */

const root = fileURLToPath(new URL('../..', import.meta.url))
const ROOMS = 'relay|protocol|producer|adapter|store|api|functions|cli|dev|deploy|config|doctor'

const sources = ['src', 'functions', 'infra']
  .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile() && /\.[tj]sx?$/.test(entry.name))
  .map((entry) => relative(root, join(entry.parentPath, entry.name)))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

/** A code alone in quotes, or in the brackets after a sentence of the CLI. */
const CODE = new RegExp(`(?<=['(])(?:${ROOMS})\\.[a-z_]+\\.[a-z_]+(?=[')])`, 'g')
const FAMILY = new RegExp(`\`((?:${ROOMS})\\.[a-z_]+\\.)\\$\\{`, 'g')
const ROW = /^\| `([a-z_]+\.[a-z_]+\.[a-z_]+)` \| ([a-z, ]+) \| (.+) \|(.*)\|$/gm

/** The levels of the log, and the states of doctor's findings. */
const LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'ok', 'fail']

/** In comments a code may stand as an example. */
const withoutComments = (text: string): string => text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, '')

const used = new Map<string, string>()
/** The beginnings of codes whose last part is a variable. The last parts are quoted elsewhere. */
const families = new Set<string>()
const words = new Set<string>()
for (const file of sources) {
  const text = withoutComments(read(file))
  for (const [code] of text.matchAll(CODE)) used.set(code, file)
  for (const [, family = ''] of text.matchAll(FAMILY)) families.add(family)
  for (const [word] of text.matchAll(/(?<=')[a-z_]+(?=')|(?<=^ +)[a-z_]+(?=: \[)/gm)) words.add(word)
}
const isUsed = (code: string): boolean => {
  const dot = code.lastIndexOf('.') + 1
  return used.has(code) || (families.has(code.slice(0, dot)) && words.has(code.slice(dot)))
}
const rows = [...read('docs/logs.md').matchAll(ROW)]
const listed = rows.map(([, code]) => code as string)

test('every code in the sources is listed, with a meaning and a remedy', () => {
  expect([...used].filter(([code]) => !listed.includes(code)).map(([code, file]) => `${code} (${file})`)).toEqual([])
  for (const [row, , , meaning = '', remedy = ''] of rows)
    for (const cell of [meaning, remedy]) expect(cell, row).toMatch(/^ ?[\w`].{3}/)
})

test('every code that is listed is in the sources, and listed once', () => {
  expect(listed.filter((code) => !isUsed(code))).toEqual([])
  expect(listed.filter((code, at) => listed.indexOf(code) !== at)).toEqual([])
})

test('every row names a room, and levels of the log', () => {
  const rooms = new RegExp(`^(?:${ROOMS})\\.`)
  for (const [row, code, levels = ''] of rows) {
    expect(code, row).toMatch(rooms)
    for (const level of levels.split(/, | or /)) expect(LEVELS, row).toContain(level)
  }
  // A row may also name a family that shares the events of another one: `doctor.redis.<event>`.
  const isRow = (line: string): boolean =>
    new RegExp(ROW.source).test(line) || families.has(/^\| `(.+\.)<event>` \|/.exec(line)?.[1] ?? '')
  const lines = read('docs/logs.md').split('\n')
  const coded = new RegExp(`^\\| \`(?:${ROOMS})\\.`)
  expect(lines.filter((line) => coded.test(line) && !isRow(line))).toEqual([])
})

/** Files with an Error that no user sees, with the reason. */
const BARE: Readonly<Record<string, string>> = {
  'src/relay/targets/http-handler.ts': 'an Error by the name that the AWS SDK looks at to tell whether to try again',
  'src/runtime/index.ts': 'the reason of an abort signal, which nothing prints',
}

test('no error without a code is thrown', () => {
  const bare = sources.filter((file) => /\bnew Error\(/.test(withoutComments(read(file))))
  expect(bare.filter((file) => BARE[file] === undefined)).toEqual([])
  expect(
    Object.keys(BARE).filter((file) => !bare.includes(file)),
    'reasons that are not needed any more',
  ).toEqual([])
})
