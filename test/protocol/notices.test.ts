import { expect, test } from 'vitest'
import { formatCommand, formatEvent, parseCommand, parseEvents, ProtocolError } from '../../src/protocol/index.ts'

const COMMAND = { action: 'retry', source: 'main', ids: ['main/l/1/17', 'main/p/2/0'], operator: 'jané' } as const
const body = formatCommand(COMMAND, { id: 'c1', timeMs: Date.parse('2026-01-31T08:00:00Z') })

test('a command is a CloudEvent about its source, and is read back unchanged', () => {
  expect(parseEvents(body)).toMatchObject([
    {
      id: 'command/c1',
      source: '/enigma/main',
      type: 'enigma.relay.command',
      subject: 'main',
      time: '2026-01-31T08:00:00.000Z',
    },
  ])
  expect(parseCommand(body)).toEqual(COMMAND)
})

const [event] = parseEvents(body)
const withPayload = (payload: unknown) =>
  event === undefined ? '' : formatEvent({ ...event, data: JSON.stringify({ type: 'command', payload }) })

test.each([
  ['no JSON', 'drop everything'],
  ['another event', event === undefined ? '' : formatEvent({ ...event, type: 'enigma.agents.call' })],
  ['two commands', `[${body},${body}]`],
  ['no payload', withPayload(undefined)],
  ['another action', withPayload({ ...COMMAND, action: 'flush' })],
  ['no source', withPayload({ ...COMMAND, source: 'a b' })],
  ['no ids', withPayload({ ...COMMAND, ids: [] })],
  ['a filter in the place of ids', withPayload({ action: 'drop', source: 'main', operator: 'x', filter: {} })],
  ['too many ids', withPayload({ ...COMMAND, ids: Array.from({ length: 1_001 }, (_, n) => `main/l/1/${n}`) })],
])('%s is no command', (_, text) => {
  expect(() => parseCommand(text)).toThrow(ProtocolError)
})
