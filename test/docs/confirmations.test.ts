import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { CONFIRMATIONS, type Confirmation, type Refutation } from '../../src/protocol/index.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const code = (word: string) => `\`${word}\``
const refutation = ({ from, to, reason }: Refutation) =>
  `${from === undefined ? '' : `${code(from)}, then `}${code(to)}: ${reason.slice(0, 1).toLowerCase()}${reason.slice(1, -1)}`

/** A row of the table in docs/confirmations.md. */
const rowOf = ({ resource, expect: word, via, confirmedBy, refutedBy }: Confirmation) =>
  [
    '',
    code(`${resource}/<${resource === 'calls' ? 'call_ref' : 'ref'}>`),
    code(word),
    via.map(code).join(', '),
    confirmedBy === undefined ? 'the CDR with that `call_ref`' : code(confirmedBy),
    refutedBy.map(refutation).join('; ') || 'nothing',
    '',
  ]
    .map((cell) => cell || ' ')
    .join(' | ')
    .trim()

test('docs/confirmations.md has the table of src/protocol, row by row', () => {
  const rows = readFileSync(`${root}docs/confirmations.md`, 'utf8')
    .split('\n')
    .filter((line) => /^\| `(?:campaigns|agents|calls)\//.test(line))
  const squeezed = (row: string) => row.replace(/\s+/g, ' ')
  expect(rows.map(squeezed)).toEqual(CONFIRMATIONS.map(rowOf).map(squeezed))
})
