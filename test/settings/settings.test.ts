import { expect, test } from 'vitest'
import { readEvents } from '../../src/settings/index.ts'

const ON_LAMBDA = { AWS_LAMBDA_FUNCTION_NAME: 'acme-api' }

test('a long-lived process streams changes itself; on Lambda only the function for streams does', () => {
  expect(readEvents({})).toEqual({ events: {} })
  expect(readEvents(ON_LAMBDA)).toEqual({})
  const eventsUrl = 'https://stream.example.com/events'
  for (const env of [{}, ON_LAMBDA]) expect(readEvents({ ...env, ENIGMA_EVENTS_URL: eventsUrl })).toEqual({ eventsUrl })
  expect(readEvents({ ...ON_LAMBDA, ENIGMA_EVENTS_SECONDS: '60', ENIGMA_EVENTS_URL: eventsUrl })).toEqual({
    events: { limitMs: 60_000 },
    only: 'events',
  })
})

test.each([
  { ENIGMA_EVENTS_SECONDS: '0' },
  { ENIGMA_EVENTS_SECONDS: '1.5' },
  { ENIGMA_EVENTS_SECONDS: '900' },
  { ENIGMA_EVENTS_URL: 'http://stream.example.com/events' },
  { ENIGMA_EVENTS_URL: 'https://' },
])('%j is refused with what to write instead', (env) => {
  expect(() => readEvents(env)).toThrow(
    expect.objectContaining({
      code: 'functions.events.invalid',
      message: expect.stringMatching(/^ENIGMA_EVENTS_(SECONDS|URL) is not .*write/) as string,
    }) as Error,
  )
})
