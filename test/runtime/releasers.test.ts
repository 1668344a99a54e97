import { expect, test } from 'vitest'
import { withReleasers } from '../../src/runtime/index.ts'

test('resources are released in reverse order, and the result is returned', async () => {
  const order: string[] = []
  const result = await withReleasers((release) => {
    release(() => void order.push('first taken'))
    release(() => Promise.resolve().then(() => void order.push('last taken')))
    return Promise.resolve('done')
  })
  expect(result).toBe('done')
  expect(order).toEqual(['last taken', 'first taken'])
})

test('a body that throws releases its resources, and its error is thrown', async () => {
  const order: string[] = []
  const failing = withReleasers(async (release) => {
    release(() => void order.push('released'))
    await Promise.resolve()
    throw new Error('start-up failed')
  })
  await expect(failing).rejects.toThrow('start-up failed')
  expect(order).toEqual(['released'])
})

test('a release that fails does not prevent the others', async () => {
  const order: string[] = []
  const failing = withReleasers((release) => {
    release(() => void order.push('released'))
    release(() => {
      throw new Error('cannot release')
    })
    return Promise.resolve()
  })
  await expect(failing).rejects.toThrow('cannot release')
  expect(order).toEqual(['released'])
})

test('with several errors the one of the body comes first', async () => {
  const failing = withReleasers((release) => {
    release(() => Promise.reject(new Error('cannot release')))
    return Promise.reject(new Error('why it ended'))
  })
  const error: unknown = await failing.catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(AggregateError)
  expect((error as AggregateError).errors.map(String)).toEqual(['Error: why it ended', 'Error: cannot release'])
})
