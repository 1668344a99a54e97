import fc from 'fast-check'
import { expect, test } from 'vitest'
import { scanArray, scanObject } from '../../src/protocol/text.ts'

/** Any JSON value as text, with any white space between its tokens. */
const spaced = fc
  .tuple(fc.jsonValue(), fc.array(fc.constantFrom('', ' ', '\n', '\t', '\r\n  '), { minLength: 7, maxLength: 7 }))
  .map(([value, spaces]) => {
    let at = 0
    const space = () => spaces[at++ % spaces.length] as string
    const write = (one: unknown): string => {
      if (Array.isArray(one))
        return `[${space()}${one.map((element) => `${write(element)}${space()}`).join(`,${space()}`)}]`
      if (typeof one !== 'object' || one === null) return JSON.stringify(one)
      return `{${space()}${Object.entries(one)
        .map(([name, inner]) => `${JSON.stringify(name)}${space()}:${space()}${write(inner)}${space()}`)
        .join(`,${space()}`)}}`
    }
    return { text: `${space()}${write(value)}${space()}`, value }
  })

test('the pieces of any JSON text are the texts of its values', () => {
  fc.assert(
    fc.property(fc.array(spaced), fc.dictionary(fc.string({ unit: 'binary' }), spaced), (list, object) => {
      const arrayText = ` [${list.map(({ text }) => text).join(',')}]`
      expect(scanArray(arrayText).map((text) => JSON.parse(text) as unknown)).toEqual(JSON.parse(arrayText))
      expect(scanArray(arrayText)).toEqual(list.map(({ text }) => text.trim()))
      const objectText = `\n{${Object.entries(object)
        .map(([name, { text }]) => `${JSON.stringify(name)}:${text}`)
        .join(',')}}`
      expect([...scanObject(objectText)]).toEqual(Object.entries(object).map(([name, { text }]) => [name, text.trim()]))
    }),
    { numRuns: 1_000 },
  )
})

test('if a name occurs twice, the last value counts, as in JSON.parse', () => {
  expect(scanObject('{"data":1,"data": {"b" : [2]}}').get('data')).toBe('{"b" : [2]}')
})

test('braces, quotes and backslashes inside strings end nothing', () => {
  expect(scanObject(String.raw`{"a":"}\"]\\","b":["{"]}`)).toEqual(
    new Map([
      ['a', String.raw`"}\"]\\"`],
      ['b', '["{"]'],
    ]),
  )
})
