import { describe, expect, it } from 'vitest'
import { formatCell, formatLine } from '../../src/console/cdrs/export.tsx'
import { type Findings, formatDiagnosis } from '../../src/console/health/diagnosis.tsx'

describe('a cell', () => {
  it.each([
    [null, ''],
    [93, '93'],
    [-0.5, '-0.5'],
    [false, 'false'],
    ['', '""'],
    ['hungup', '"hungup"'],
    ['two, "three"\r\nfour', '"two, ""three""\r\nfour"'],
    ['90071992547409931', '"90071992547409931"'],
    [['dialed_at'], '"[""dialed_at""]"'],
  ])('of %j is %s', (value, text) => {
    expect(formatCell(value)).toBe(text)
  })

  it.each([
    '=1+1',
    '+15550100',
    '-1',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    '\n1',
    '  =1',
    '\ufeff=1',
    '＝1',
    '＋1',
    '－1',
    '＠a',
  ])('of %j is not a formula', (text) => {
    expect(formatCell(text)).toBe(`"'${text}"`)
  })

  it('is part of a line that ends in CRLF, as in RFC 4180', () => {
    expect(formatLine(['a', null, 1])).toBe('"a",,1\r\n')
  })
})

describe('a diagnosis', () => {
  const nowMs = Date.parse('2026-01-31T08:00:00Z')
  const at = (agoMs: number) => new Date(nowMs - agoMs).toISOString()
  const FINDINGS: Findings = {
    nowMs,
    apiVersion: '1.0.0',
    browser: 'Firefox/140',
    config: { name: 'jane', role: 'operate', events: '/events', replays: true, dead_letters: true },
    relays: {
      items: [{ relay: 'relay-1', sources: ['main'], lists: [], started_at: at(7_200_000), ready_at: at(60_000) }],
    },
    queues: {
      read_at: at(0),
      items: [
        { queue: 'enigma-a.fifo', route: 'a', dead_letter: false, waiting: 0, in_flight: 0 },
        { queue: 'enigma-a-dlq.fifo', route: 'a', dead_letter: true, waiting: 3, in_flight: 1 },
        { queue: 'enigma-b.fifo', route: 'b', dead_letter: false, waiting: null, in_flight: null },
      ],
    },
    parked: {
      groups: [
        {
          from: 'functions',
          route: 'campaigns-cdr',
          cause: '422: +27 82 123-4567\nis not a number',
          status: 422,
          count: 12,
          first: at(3_600_000),
          last: at(9_000),
          example: 'x',
        },
      ],
      queues: [],
      matching: 12,
      complete: true,
    },
    gaps: undefined,
    other: { items: [], next: null, counts: { 'agents/27821234567': 2 } },
    audit: {
      items: Array.from({ length: 25 }, (_, n) => ({
        id: `a${n}`,
        at: at(n * 1_000),
        operator: 'jane',
        action: 'replay',
        what: '{"reference":"27821234567"}',
        count: 4,
      })),
      next: null,
    },
  }

  it('lists the findings line by line', () => {
    const lines = formatDiagnosis(FINDINGS).split('\n')
    for (const line of [
      'enigma-relay diagnosis, 2026-01-31T08:00:00.000Z',
      '- relay-1 (main): ready 1m 00s ago, started 2h 00m ago',
      '- enigma-a-dlq.fifo: 3 waiting, 1 in flight',
      '- enigma-b.fifo: missing',
      '- 12 of campaigns-cdr by functions, status 422: 422: # is not a number (first 1h 00m ago, last 9s ago)',
      '- could not be read',
      '- agents/#: 2',
      '- 2026-01-31T08:00:00.000Z jane: replay, 4',
      '- and 5 more',
    ])
      expect(lines).toContain(line)
    expect(lines.join()).not.toContain('enigma-a.fifo')
  })

  it('contains no number and no reference', () => {
    expect(formatDiagnosis(FINDINGS)).not.toMatch(/2782|123-4567|reference/)
  })
})
