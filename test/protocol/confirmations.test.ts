import { describe, expect, test } from 'vitest'
import type { Expected } from '../../src/client/index.ts'
import { CONFIRMATIONS, judgeRequest, type Confirmation, type Verdict } from '../../src/protocol/index.ts'

/** Every state that the vendor names, and one of a newer dialler. */
const STATES = {
  campaigns: ['started', 'stopping', 'stopped', 'completed', 'paused'],
  agents: ['offline', 'logging_in', 'available', 'busy', 'wrapup', 'logging_out', 'on_break'],
  calls: ['hungup', 'busy', 'failed'],
}

/** Each row: what confirms, and each change of state that refutes. All other changes decide nothing. */
const ROWS: Readonly<Record<string, { readonly confirms: readonly string[]; readonly refutes: readonly string[] }>> = {
  'campaigns started': {
    confirms: ['started'],
    // Whatever it was before: there is nothing left to dial.
    refutes: ['? → completed', ...STATES.campaigns.map((from) => `${from} → completed`)],
  },
  'campaigns stopped': {
    confirms: ['stopped'],
    refutes: [
      '? → completed',
      ...STATES.campaigns.map((from) => `${from} → completed`),
      // The stop was under way and was undone. Any other `started` may belong to an earlier request.
      'stopping → started',
    ],
  },
  'campaigns completed': { confirms: ['completed'], refutes: ['stopping → started'] },
  'agents available': { confirms: ['available'], refutes: ['logging_in → offline'] },
  'agents offline': { confirms: ['offline'], refutes: ['logging_out → logging_in', 'logging_out → available'] },
  'calls cdr': { confirms: STATES.calls, refutes: [] },
}

const outcomeOf = (verdict: Verdict) => (typeof verdict === 'string' ? verdict : 'failed')

describe.each(CONFIRMATIONS.map((row): [string, Confirmation] => [`${row.resource} ${row.expect}`, row]))(
  '%s',
  (name, row) => {
    const states = STATES[row.resource as keyof typeof STATES]
    const changes = [null, ...states].flatMap((from) => states.map((state) => ({ from, state })))

    test('is confirmed, refuted or left open by each change of state', () => {
      const { confirms, refutes } = ROWS[name] ?? { confirms: [], refutes: [] }
      for (const { from, state } of changes) {
        const change = `${from ?? '?'} → ${state}`
        const wanted = confirms.includes(state) ? 'confirmed' : refutes.includes(change) ? 'failed' : 'undecided'
        expect([change, outcomeOf(judgeRequest(row, { from, state, isResync: false }))]).toEqual([change, wanted])
      }
    })

    test('is refuted with a reason, and never by a state from a resync', () => {
      for (const { from, state } of changes) {
        const verdict = judgeRequest(row, { from, state, isResync: false })
        if (typeof verdict !== 'string') expect(verdict.reason).toMatch(/^The .+\.$/)
        const read = judgeRequest(row, { from, state, isResync: true })
        expect(read).toBe(verdict === 'confirmed' ? 'confirmed' : 'undecided')
      }
    })

    test('is left open by its intermediate states', () => {
      for (const state of row.via) expect(judgeRequest(row, { from: null, state, isResync: false })).toBe('undecided')
    })
  },
)

test('every row is tested, and a missing state decides nothing', () => {
  expect(CONFIRMATIONS.map((row) => `${row.resource} ${row.expect}`)).toEqual(Object.keys(ROWS))
  for (const row of CONFIRMATIONS.filter(({ resource }) => resource !== 'calls'))
    expect(judgeRequest(row, { from: null, state: null, isResync: false })).toBe('undecided')
})

test('a client knows the resources of the table, and what can be expected of each', () => {
  type Row = (typeof CONFIRMATIONS)[number]
  type OfTable = { readonly [Name in Row['resource']]: Extract<Row, { readonly resource: Name }>['expect'] }
  // The compiler checks both directions.
  const [table, client]: [OfTable[], Expected[]] = [[], []]
  const [one, other]: [Expected[], OfTable[]] = [table, client]
  expect([one, other]).toEqual([[], []])
})
