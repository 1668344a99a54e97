import { readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { cdr, PARKED_LIST, parkedEntries, parkedEntry } from '../support/parked.ts'
import { receiveAll, useFolder, waitFor } from '../support/relay.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useSqs } from '../support/sqs.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'
import { LAUNCHER, refusalOf, runCli, start } from './run.ts'

const AWS = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }

async function useParked(entries: readonly (string | Buffer)[]) {
  const { url } = await useRedisServer()
  const redis = await useRedisClient(url)
  if (entries.length > 0) await redis.rPush(PARKED_LIST, [...entries])
  const env = { ENIGMA_SOURCES: `main=${url}` }
  return {
    redis,
    env,
    left: () => redis.lRange(PARKED_LIST, 0, -1),
    parked: async (args: readonly string[], more: Record<string, string> = {}) => {
      const { stderr, ...rest } = await runCli(['parked', ...args], { ...env, ...more })
      // On a busy machine the command takes so long that it prints its progress.
      return { ...rest, stderr: stderr.replaceAll(/^main: read \d+ of \d+ entries\n/gm, '') }
    },
  }
}

/** One line that is no table. */
const NOTHING = expect.stringMatching(/^[^\n|]+\n$/) as string

test('the list is a table without personal data, newest entry last; it marks damaged entries and needs no region or credentials', async () => {
  const quoting = parkedEntry(1, { detail: `InvalidMessageContents: ${cdr(1)}` })
  const foreign = '{"number":"27825550009"}'
  const { parked, redis } = await useParked([
    quoting.entry,
    foreign,
    parkedEntry(2, {
      reason: 'too_large',
      detail: 'more than the 1048576 bytes of enigma-campaigns-cdr.fifo, also when gzipped',
    }).entry,
  ])
  const { code, stdout, stderr } = await parked([])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const lines = stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(5)
  expect(lines[0]).toMatch(/^PARKED AT +SOURCE +ID +ROUTE +REASON +BYTES +DETAIL$/)
  expect(lines[1]).toMatch(
    /^2026-01-31T10:00:01.000Z +main +main\/l\/1764000000000\/1 +campaigns-cdr +refused +\d+ +InvalidMessageContents: /,
  )
  expect(lines[2]).toMatch(/^\? +main +unreadable\/[0-9a-f]{16} +\? +unreadable +24 +no valid id$/)
  expect(lines[3]).toMatch(
    /^2026-01-31T10:00:02.000Z +main +main\/l\/1764000000000\/2 +campaigns-cdr +too_large +\d+ +more than the 1048576 bytes of enigma-campaigns-cdr\.fifo, also when gzipped$/,
  )
  expect(lines[4]).toBe('3 entries: 1 refused, 1 unreadable, 1 too_large')
  expect(stdout).not.toContain('2782555')
  const json = await parked(['--json', '--reason', 'refused', '--since', '2026-01-31T10:00:00Z'])
  expect(
    json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    expect.objectContaining({
      source: 'main',
      id: quoting.id,
      route: 'campaigns-cdr',
      reason: 'refused',
      parkedat: '2026-01-31T10:00:01.000Z',
      type: 'enigma.campaigns.cdr',
    }),
  ])
  expect(json.stdout).not.toContain('2782555')
  expect((await parked(['--since', '2h'])).stdout).toEqual(NOTHING)
  await redis.del(PARKED_LIST)
  expect(await parked([])).toEqual({ code: 0, stdout: NOTHING, stderr: '' })
})

test('--show prints only the exact bytes of the packet, or of the whole entry if it is damaged', async () => {
  const packet = Buffer.from('{"type":"cdr",\n "payload":{"call_ref":12345678901234567890,"number":"27825550001"}}\n\n')
  const one = parkedEntry(1, { packet })
  const { parked, left } = await useParked([one.entry, 'hello', parkedEntry(1, { packet: cdr(1) }).entry])
  const { code, stdout, stderr } = await parked(['--show', one.id])
  expect({ code, stdout }).toEqual({ code: 0, stdout: String(packet) })
  expect(stderr).toMatch(/\b2 .*entries\b/)
  const table = await parked(['--reason', 'unreadable'])
  const id = /unreadable\/\w+/.exec(table.stdout)?.[0] ?? ''
  expect(await parked(['--show', id])).toEqual({ code: 0, stdout: 'hello', stderr: '' })
  expect(await parked(['--show', 'main/l/1/1'])).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^enigma-relay: .*main\/l\/1\/1 \(relay\.parked\.not_found\)\n$/) as string,
  })
  expect(await left()).toHaveLength(3)
})

test('--export writes one line of JSON per entry to a new file that only its owner can read, and never overwrites a file', async () => {
  const entries = parkedEntries(3)
  const { parked, left } = await useParked([...entries.map(({ entry }) => entry), 'hello'])
  const file = join(await useFolder(), 'parked.jsonl')
  expect(await parked(['--export', file])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(file) as string,
  })
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  expect(lines.slice(0, 3)).toEqual(entries.map(({ entry }) => `{"source":"main",${entry.slice(1)}`))
  expect(JSON.parse(lines[3] ?? '')).toMatchObject({
    reason: 'unreadable',
    entry_base64: Buffer.from('hello').toString('base64'),
  })
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  await writeFile(file, 'mine')
  const nowhere = await parked(['--export', join(file, 'no-folder', 'x')])
  expect(nowhere).toMatchObject({ code: 1, stdout: '' })
  expect(nowhere.stderr).toMatch(/^enigma-relay: cannot write .*\(relay\.parked\.file_failed\)\n$/)
  const missing = await parked(['--export', join(dirname(file), 'no-folder', 'x')])
  expect(missing.stderr).toMatch(/no-folder\/x: ENOENT.*: create its folder first \(relay\.parked\.file_failed\)\n$/)
  expect(missing.stderr).not.toContain('unfinished')
  const again = await parked(['--export', file])
  expect(again).toMatchObject({ code: 1, stdout: '' })
  expect(again.stderr).toContain('(relay.parked.file_exists)')
  expect(await readFile(file, 'utf8')).toBe('mine')
  expect(await left()).toHaveLength(4)
})

test('--retry sends entries while a relay runs and prints the result of each; the relay keeps forwarding', async () => {
  const sqs = await useSqs()
  const [first, second, third] = parkedEntries(3)
  const { parked, left, env, redis } = await useParked([
    first?.entry ?? '',
    'hello',
    second?.entry ?? '',
    third?.entry ?? '',
  ])
  const aws = { ...AWS, AWS_ENDPOINT_URL_SQS: sqs.endpoint }
  const relay = start(process.execPath, [LAUNCHER, 'relay'], {
    env: {
      ...env,
      ...aws,
      ENIGMA_DATA_DIR: await useFolder(),
      ENIGMA_HTTP: '127.0.0.1:0',
      ENIGMA_LISTS: 'enigma:notifications:campaigns',
    },
  })
  await relay.says('relay.http.listening')
  const one = await parked(['--retry', second?.id ?? '', 'main/l/9/9'], aws)
  expect(one.stdout).toBe(`${second?.id}  sent to enigma-campaigns-cdr.fifo\n`)
  expect(one).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^enigma-relay: .*main\/l\/9\/9 \(relay\.parked\.not_found\)\n$/) as string,
  })
  const all = await parked(['--retry', '--all'], aws)
  expect(all.stdout.split('\n').toSorted().slice(1)).toEqual([
    `${first?.id}  sent to enigma-campaigns-cdr.fifo`,
    `${third?.id}  sent to enigma-campaigns-cdr.fifo`,
    expect.stringMatching(/^unreadable\/\w+ {2}stays: .*JSON$/),
  ])
  expect(all).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^enigma-relay: .*\(relay\.parked\.incomplete\)\n$/) as string,
  })
  expect(await left()).toEqual(['hello'])
  expect((await receiveAll(sqs, 'campaigns-cdr', 3)).map(({ id }) => id).toSorted()).toEqual([
    first?.id,
    second?.id,
    third?.id,
  ])
  expect(await receiveAll(sqs, 'relay-parked', 3)).toHaveLength(3)
  await redis.lPush('enigma:notifications:campaigns', cdr(9))
  expect(await receiveAll(sqs, 'campaigns-cdr', 1)).toMatchObject([{ data: cdr(9) }])
})

test('--drop prints the entries that it would drop and exits with 2; with --yes it drops only those', async () => {
  const sqs = await useSqs()
  const entries = parkedEntries(3, (n) => ({ reason: n === 1 ? 'refused' : 'too_large' }))
  const { parked, left } = await useParked(entries.map(({ entry }) => entry))
  const ids = [entries[0]?.id ?? '', entries[2]?.id ?? '']
  const asked = await parked(['--drop', ...ids])
  expect(asked.code).toBe(2)
  for (const id of ids) expect(asked.stdout).toContain(id)
  expect(asked.stdout).toContain('2 entries: 2 too_large')
  expect(asked.stderr).toContain('--yes')
  expect(await left()).toHaveLength(3)
  const done = await parked(['--drop', '--all', '--reason', 'too_large', '--yes', '--json'], {
    ...AWS,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
  })
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(
    done.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual(ids.map((id) => ({ source: 'main', id, state: 'dropped' })))
  expect(await left()).toEqual([entries[1]?.entry])
  const told = await receiveAll(sqs, 'relay-parked', 2)
  expect(told.map(({ subject }) => subject)).toEqual(expect.arrayContaining(ids))
})

test('G1 parked: if --retry is killed after SQS accepted and before the entry left the list, the next one sends it with the same id', async () => {
  const one = parkedEntry(1)
  const { parked, left, env } = await useParked([one.entry])
  const sqs = await useSqsFaults()
  sqs.state.answer = ({ queue }) => (queue === 'enigma-relay-parked.fifo' ? 'hang' : 'accept')
  const aws = { ...AWS, AWS_ENDPOINT_URL_SQS: sqs.endpoint }
  const killed = start(process.execPath, [LAUNCHER, 'parked', '--retry', one.id], { env: { ...env, ...aws } })
  await waitFor(
    () => sqs.requests.some(({ queue }) => queue === 'enigma-relay-parked.fifo'),
    'the announcement',
    15_000,
  )
  process.kill(-(killed.child.pid ?? 0), 'SIGKILL')
  await killed.ended
  expect(await left()).toEqual([one.entry])
  sqs.state.answer = () => 'accept'
  expect(await parked(['--retry', one.id], aws)).toMatchObject({
    code: 0,
    stdout: `${one.id}  sent to enigma-campaigns-cdr.fifo\n`,
  })
  expect(await left()).toEqual([])
  const sent = sqs.requests
    .filter(({ queue }) => queue === 'enigma-campaigns-cdr.fifo')
    .flatMap(({ entries }) => entries)
  expect(sent.map(({ MessageBody }) => MessageBody)).toEqual([one.event, one.event])
  expect(new Set(sent.map((entry) => entry.MessageDeduplicationId)).size).toBe(1)
})

test.each([
  [['--retry'], ['--retry', '--all']],
  [
    ['--drop', '--yes'],
    ['--drop', '--all'],
  ],
  [['--retry', 'a', '--all'], ['--all']],
  [
    ['--retry', 'a', '--drop', 'b'],
    ['--retry', '--drop'],
  ],
  [['--all'], ['--all', '--retry', '--drop']],
  [['--yes'], ['--yes', '--drop']],
  [['--since', 'yesterday'], ['--since']],
  [
    ['--source', 'nowhere'],
    ['ENIGMA_SOURCES', '"nowhere"', 'main'],
  ],
] as const)('%j is refused, and %j are named', async (args, names) => {
  const refusal = await refusalOf(['parked', ...args])
  expect(refusal).toContain('(cli.arguments.invalid)')
  for (const name of names) expect(refusal).toContain(name)
})

test.each<[string, readonly string[], Record<string, string>, string, RegExp]>([
  [
    'Redis is unreachable',
    [],
    { ENIGMA_SOURCES: 'main=redis://user:secret@127.0.0.1:9' },
    'relay.parked.redis_failed',
    /: check .* ENIGMA_SOURCES/,
  ],
  [
    'SQS is unreachable',
    ['--retry', '--all'],
    { ...AWS, AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9' },
    'relay.parked.queue_unusable',
    /: check AWS_REGION, AWS_ENDPOINT_URL_SQS and the network/,
  ],
  [
    'there are no credentials',
    ['--retry', '--all'],
    {
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9',
      AWS_EC2_METADATA_DISABLED: 'true',
      HOME: '/nonexistent',
    },
    'relay.parked.queue_unusable',
    /: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/,
  ],
])(
  'if %s, the command prints the remedy and the error code, exits with 1 and changes no entry',
  async (_what, args, more, event, remedy) => {
    const { parked, left } = await useParked([parkedEntry(1).entry])
    const { code, stdout, stderr } = await parked(args, more)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(`(${event})`)
    expect(stderr).toMatch(remedy)
    expect(stderr).not.toMatch(/secret|retries/)
    expect(await left()).toHaveLength(1)
  },
)

test('entries in a file, for which the list had no room, are also listed, shown, exported, retried and dropped', async () => {
  const [listed, ...filed] = parkedEntries(4)
  const server = await useSqs()
  const folder = await useFolder()
  const file = join(folder, 'parked.main.test.jsonl')
  await writeFile(file, filed.map(({ entry }) => `${entry}\n`).join(''), { mode: 0o600 })
  await writeFile(join(folder, 'parked.other.test.jsonl'), `${filed[0]?.entry}\n`)
  const { redis, left, parked } = await useParked([listed?.entry ?? ''])
  await redis.hSet('enigma:relay:parked:files', { away: 'elsewhere:/data/parked.main.away.jsonl' })
  const env = { ...AWS, AWS_ENDPOINT_URL_SQS: server.endpoint, ENIGMA_DATA_DIR: folder }
  const run = (...args: string[]) => parked(args, env)

  const table = await run()
  expect(table.stdout).toMatch(new RegExp(`\\b4 entries\\b.*\n3 .*${file}`))
  expect(table.stderr).toMatch(/\baway\b.*\bmain\b.*elsewhere:\/data\//)
  const json = (await run('--json')).stdout.trimEnd().split('\n')
  expect(json.map((line) => (JSON.parse(line) as { file?: string }).file)).toEqual([undefined, file, file, file])
  expect((await run('--show', filed[0]?.id ?? '')).stdout).toBe(String(filed[0]?.bytes))
  await run('--export', join(folder, 'export.jsonl'))
  expect((await readFile(join(folder, 'export.jsonl'), 'utf8')).trimEnd().split('\n')).toHaveLength(4)

  expect(await run('--drop', filed[0]?.id ?? '', '--yes')).toMatchObject({
    code: 0,
    stdout: `${filed[0]?.id}  dropped\n`,
  })
  expect(await readFile(file, 'utf8')).not.toContain('27825550001')
  expect((await run('--retry', '--all')).stdout.match(/sent to/g)).toHaveLength(3)
  expect((await receiveAll(server, 'campaigns-cdr', 3)).map(({ id }) => id).toSorted()).toEqual(
    [listed, filed[1], filed[2]].map((one) => one?.id ?? '').toSorted(),
  )
  expect([await left(), (await readFile(file, 'utf8')).trim()]).toEqual([[], ''])
  expect(await run()).toMatchObject({ code: 0, stdout: NOTHING })
})
