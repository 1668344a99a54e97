import { expect, test } from 'vitest'
import { HELP, readArguments } from '../../bench/arguments.ts'

test('without arguments all parts are measured; a smoke run is small', () => {
  expect(readArguments([])).toEqual({
    smoke: false,
    only: undefined,
    counts: { relay: 200_000, baseline: 20_000 },
    rates: [20, 500, 2_660],
    delays: [0, 20],
    seconds: 10,
  })
  expect(readArguments(['--smoke', '--only', 'drain'])).toMatchObject({
    smoke: true,
    only: 'drain',
    counts: { relay: 20_000, baseline: 1_000 },
    rates: [500],
  })
})

test('help names every option', () => {
  expect(readArguments(['--help'])).toBeUndefined()
  for (const name of ['smoke', 'only', 'count', 'baseline-count', 'rates', 'delays', 'seconds'])
    expect(HELP).toContain(`--${name} `)
})

test.each([
  [['--only', 'all'], /--only .*"all"/],
  [['--count', 'many'], /--count .*"many"/],
  [['--seconds', '1,2'], /--seconds/],
  [['--rates', '20,'], /--rates .*""/],
  [['--what'], /'--what'/],
])('%j is said with what is wrong', (args, words) => {
  expect(() => readArguments(args)).toThrow(words)
})
