import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createEventParser, type StreamBlock } from '../../src/client/follow-changes.ts'

const parse = (...pieces: readonly string[]): StreamBlock[] => {
  const parser = createEventParser()
  return pieces.flatMap((piece) => parser(piece))
}

it('an event is parsed into name, data and id, with lines that end in LF, CR or CRLF', () => {
  for (const end of ['\n', '\r', '\r\n'])
    expect(parse(['event: changes', 'data: {"a":', 'data: 1}', 'id: 5-0', '', ''].join(end))).toEqual([
      { event: 'changes', data: '{"a":\n1}', id: '5-0' },
    ])
})

it('a comment is ignored, an id alone is a block without data, and a later event keeps that id', () => {
  expect(parse(': \n\n', ': alive\nid: 7-1\n\n', 'data: x\n\n')).toEqual([
    { event: 'message', data: null, id: '7-1' },
    { event: 'message', data: 'x', id: '7-1' },
  ])
})

it('one space after the colon belongs to the format, further spaces to the value', () => {
  expect(parse('data:a\n\ndata: b\n\ndata:  c\n\ndata\n\ndata:\n\n').map(({ data }) => data)).toEqual([
    'a',
    'b',
    ' c',
    '',
    '',
  ])
})

it('unknown fields, an id with NUL and a name without data are ignored', () => {
  expect(parse('retry: 5\nnonsense: 1\nid: a\0b\nevent: x\n\ndata: y\n\n')).toEqual([
    { event: 'message', data: 'y', id: '' },
  ])
})

it('an incomplete block is not an event, and its id does not count', () => {
  expect(parse('data: a\nid: 1\n\ndata: b\nid: 2\n')).toEqual([{ event: 'message', data: 'a', id: '1' }])
})

const EVENTS = [
  { event: 'changes', data: '{"items":[{"ref":"1002 – 😀"}],\n"cursor":"1-0"}', id: '1-0' },
  { event: 'message', data: null, id: '2-0' },
  { event: 'changes', data: '', id: '2-0' },
  { event: 'changes', data: 'é: \n\n: no comment\nid: none', id: '3-0' },
]
const TEXT = [
  '\uFEFFevent: changes',
  'data: {"items":[{"ref":"1002 – 😀"}],',
  'data: "cursor":"1-0"}',
  'id: 1-0',
  '',
  ': alive',
  'id: 2-0',
  '',
  '',
  'event:changes',
  'data',
  '',
  'event: changes',
  'data: é: ',
  'data:',
  'data: : no comment',
  'data:id: none',
  'id: 3-0',
  '',
  '',
]

/** Parses bytes as read from a connection: in pieces that are cut anywhere. */
function parseBytes(bytes: Uint8Array, cuts: readonly number[]): StreamBlock[] {
  const [parser, decoder] = [createEventParser(), new TextDecoder()]
  const places = [0, ...cuts, bytes.length].toSorted((a, b) => a - b)
  return places.slice(1).flatMap((to, at) => parser(decoder.decode(bytes.subarray(places[at], to), { stream: true })))
}

it.each(['\n', '\r', '\r\n'])('a stream whose lines end in %j yields the same events wherever it is cut', (end) => {
  const bytes = new TextEncoder().encode(TEXT.join(end))
  // Pairs of cuts: pieces of each length below 4 everywhere, and of every length at each seventh byte.
  for (let first = 0; first <= bytes.length; first++)
    for (let second = first; second <= bytes.length; second++)
      if (second - first < 4 || first % 7 === 0) {
        const events = parseBytes(bytes, [first, second])
        if (JSON.stringify(events) !== JSON.stringify(EVENTS)) expect({ first, second, events }).toEqual(EVENTS)
      }
  expect(parseBytes(bytes, Array.from(bytes.keys()))).toEqual(EVENTS)
})

it('any text yields the same blocks wherever it is cut', () => {
  const word = fc.constantFrom('data', 'id', 'event', ':', ' ', '\r', '\n', '\r\n', '\n\n', 'x', 'é', '😀', '\0')
  const text = fc.array(word, { maxLength: 60 }).map((words) => words.join(''))
  fc.assert(
    fc.property(text, fc.array(fc.nat(200), { maxLength: 20 }), (whole, cuts) => {
      const bytes = new TextEncoder().encode(whole)
      expect(
        parseBytes(
          bytes,
          cuts.map((cut) => Math.min(cut, bytes.length)),
        ),
      ).toEqual(parse(whole))
    }),
  )
})
