import { expect, test } from 'vitest'
import { ConfigError, createEnvReader, type Env } from '../../src/runtime/index.ts'

const readTwo = (env: Env) => {
  const reader = createEnvReader(env)
  const size = reader.read('SIZE', '10', (text, fault) =>
    /^\d+$/.test(text) ? Number(text) : fault('is not a number', 'write digits'),
  )
  const side = reader.read('SIDE', 'left', (text, fault) =>
    text === 'left' ? text : fault('is no side', 'write left'),
  )
  reader.check()
  return { size, side }
}

test.each([{}, { SIZE: '' }, { SIZE: '   ' }])('an unset, empty or blank variable has its default: %j', (env) => {
  expect(readTwo(env)).toEqual({ size: 10, side: 'left' })
})

test('space around a value does not count', () => {
  expect(readTwo({ SIZE: ' 7 ' }).size).toBe(7)
})

test('every fault is in one error, each with its name, the problem and the fix', () => {
  const read = () => readTwo({ SIZE: 'many', SIDE: 'up' })
  expect(read).toThrow(ConfigError)
  expect(read).toThrow(expect.objectContaining({ code: 'config.variables.invalid' }))
  expect(read).toThrow(
    '2 environment variables are not valid:\n  SIZE: is not a number\n    write digits\n  SIDE: is no side\n    write left',
  )
})

test('a single fault is said in the singular', () => {
  expect(() => readTwo({ SIZE: 'many' })).toThrow(
    expect.objectContaining({
      code: 'config.variables.invalid',
      message: expect.stringMatching(/\n {2}SIZE: /) as string,
    }) as Error,
  )
})

test('an error in the parser is not reported as an invalid variable', () => {
  const reader = createEnvReader({})
  expect(() =>
    reader.read('SIZE', '', () => {
      throw new TypeError('a mistake in the parser')
    }),
  ).toThrow(TypeError)
})
