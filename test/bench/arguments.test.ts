import { expect, test } from 'vitest'
import { HELP, readArguments } from '../../bench/arguments.ts'

const status = (rate: number, delayMs: number) => ({ type: 'status', rate, delayMs })

test('without arguments the loads with a target are measured three times; a smoke run is small', () => {
  expect(readArguments([])).toEqual({
    smoke: false,
    only: undefined,
    bento: undefined,
    relays: [],
    rounds: 3,
    counts: { relay: 200_000, baseline: 20_000 },
    loads: [status(2_660, 0), status(2_660, 20), status(500, 0), status(20, 0)],
    agents: 1_000,
    minutes: 10,
    cdrs: 3_000_000,
    seconds: 10,
  })
  expect(readArguments(['--smoke', '--only', 'drain'])).toMatchObject({
    smoke: true,
    only: 'drain',
    rounds: 1,
    counts: { relay: 20_000, baseline: 1_000 },
    loads: [status(500, 20)],
  })
})

test('rates and delays are measured in every combination', () => {
  expect(readArguments(['--rates', '24,119', '--delays', '20'])?.loads).toEqual([status(24, 20), status(119, 20)])
  expect(readArguments(['--rates', '24'])?.loads).toEqual([status(24, 0), status(24, 20)])
})

test('two files of the relay are measured in turn, beside a Bento', () => {
  const node = process.execPath
  expect(readArguments(['--relay', 'package.json', '--relay', node, '--bento', node])).toMatchObject({
    relays: ['package.json', node],
    bento: node,
  })
})

test('help names every option', () => {
  expect(readArguments(['--help'])).toBeUndefined()
  const names = [
    'smoke',
    'only',
    'bento',
    'relay',
    'rounds',
    'count',
    'baseline-count',
    'rates',
    'delays',
    'seconds',
    'minutes',
  ]
  for (const name of names) expect(HELP).toContain(`--${name} `)
})

test.each([
  [['--only', 'all'], /--only .*"all"/],
  [['--count', 'many'], /--count .*"many"/],
  [['--seconds', '1,2'], /--seconds/],
  [['--rates', '20,'], /--rates .*""/],
  [['--rounds', '0'], /--rounds/],
  [['--bento', 'package.json'], /--bento package.json: .*permission/],
  [['--relay', 'missing.mjs'], /--relay missing.mjs: .*no such file/],
  [['--what'], /'--what'/],
])('%j is rejected with the reason', (args, words) => {
  expect(() => readArguments(args)).toThrow(words)
})
