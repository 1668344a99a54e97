import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/* The rules of the layout: which room may import what, how large files are, how they are named. */

const root = fileURLToPath(new URL('..', import.meta.url))
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '')
const read = (file: string) => {
  try {
    return readFileSync(join(root, file), 'utf8')
  } catch {
    // Deleted and not committed yet.
    return ''
  }
}
const sources = files.filter((file) => /^(src|functions|infra|examples|bench|test)\/.*\.[tj]sx?$/.test(file))
const scripts = files.filter((file) => file.endsWith('.lua'))

/** Room → the rooms and packages that it may import. `*`: anything; `npm:`: any package, and what is built into Node. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/protocol': ['valibot'],
  'src/runtime': ['node:', 'pino'],
  'src/producer': ['src/protocol', 'src/runtime', 'node:', 'redis'],
  'src/simulator': ['src/protocol', 'src/runtime', 'src/producer'],
  'src/relay': [
    'src/protocol',
    'src/runtime',
    // It drives replays by the API, as any other program would.
    'src/client',
    'node:',
    'redis',
    '@aws-sdk/client-sqs',
    '@aws-sdk/credential-provider-node',
    'undici',
    'prom-client',
    'hono',
    '@hono/node-server',
  ],
  'src/adapter': ['src/protocol', 'hono'],
  'src/answers': ['valibot'],
  'src/store': ['src/protocol', 'src/answers', '@upstash/redis'],
  'src/local': ['*'],
  'src/cli': ['*'],
  // The API makes its OpenAPI document from the schemas that check its parameters.
  'src/api': ['src/protocol', 'src/answers', 'src/adapter', 'src/store', 'hono', 'hono-openapi', 'valibot'],
  // Only types, which the bundle's test sees as well: a browser gets neither schemas nor valibot.
  'src/client': ['src/answers'],
  // What every program can do by the client, and nothing else.
  'src/console': ['src/client', 'preact', '@preact/signals', 'uplot'],
  'src/settings': ['src/store', 'src/api'],
  'src/lambda': ['src/protocol', 'src/adapter', 'src/store', 'src/api', 'src/settings', 'node:', '@aws-sdk/client-sqs'],
  'src/edge': ['src/adapter', 'src/store', 'src/api', 'src/settings', 'hono'],
  // Users' own logic: any package besides.
  functions: ['src/protocol', 'src/adapter', 'src/store', 'src/api', 'src/settings', 'src/lambda', 'npm:'],
  infra: [
    'src/protocol',
    // A lock of the clone.
    'src/cli',
    'src/store',
    'src/api',
    'src/settings',
    'src/lambda',
    'package.json',
    'node:',
    'esbuild',
    '@aws-cdk/aws-service-spec',
    '@aws-sdk/client-cloudformation',
    '@aws-sdk/client-cloudwatch-logs',
    '@aws-sdk/client-lambda',
    '@aws-sdk/client-sqs',
    '@aws-sdk/client-ssm',
  ],
  examples: [
    'src/protocol',
    'src/adapter',
    'src/store',
    'src/settings',
    'src/lambda',
    'src/client',
    'src/edge',
    'functions',
    'npm:',
  ],
}

/** What single files may import besides, with the reason. */
const MAY_ALSO: Readonly<Record<string, readonly string[]>> = {
  // A build replaces this file: a runtime without files has the scripts in the bundle.
  'src/store/lua.ts': ['node:'],
  // It holds the text of a module that goes into a bundle.
  'infra/build/bundle-functions.ts': ['@hono/standard-validator'],
}

const roomOf = (file: string): string =>
  file.startsWith('src/') ? file.split('/').slice(0, 2).join('/') : (file.split('/')[0] as string)

/** Whether a target is a folder of this repository, not a package. */
const isRoom = (target: string): boolean => /^(src\/|(functions|infra|examples|bench|test|dist)$)/.test(target)

/** What a file imports: rooms for paths, names for packages, `node:` for what is built in. */
function importsOf(file: string): string[] {
  const text = read(file).replace(/^\s*(\/\/|\*).*$/gm, '')
  const found = [
    ...text.matchAll(
      /(?:^|\s)(?:import|export)\s[^'"`;]*?from\s*'([^']+)'|(?:^|[^.\w])import\s*\(\s*'([^']+)'\s*\)|^import\s+'([^']+)'/gm,
    ),
  ]
  return found.map((match) => {
    const specifier = (match[1] ?? match[2] ?? match[3]) as string
    if (specifier.startsWith('node:')) return 'node:'
    if (specifier.startsWith('.')) return roomOf(relative(root, join(root, dirname(file), specifier)))
    if (specifier.startsWith('enigma-relay/')) return `src/${specifier.slice('enigma-relay/'.length)}`
    return specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/')
  })
}

test('rooms import what they may, and nothing else', () => {
  const wrong: string[] = []
  for (const file of sources) {
    const room = roomOf(file)
    if (room === 'test' || room === 'bench') continue
    const allowed = MAY_IMPORT[room]
    if (allowed === undefined) wrong.push(`${file}: ${room} is no room`)
    else if (!allowed.includes('*')) {
      const also = MAY_ALSO[file] ?? []
      for (const target of importsOf(file))
        if (
          target !== room &&
          !allowed.includes(isRoom(target) ? target : 'npm:') &&
          !allowed.includes(target) &&
          !also.includes(target)
        )
          wrong.push(`${file} imports ${target}`)
    }
  }
  expect(wrong).toEqual([])
})

/** The words in the table of rooms in docs/architecture.md, with the imports that they stand for. */
const IN_WORDS: Readonly<Record<string, string>> = { everything: '*', 'any package': 'npm:' }

test('the table of rooms in docs/architecture.md matches the allowed imports', () => {
  const [, section = ''] = read('docs/architecture.md').split(/^## Rooms$/m)
  const rows = [...(section.split(/^## /m)[0] as string).matchAll(/^\| `([^`]+)` \| (.+) \| ([^|]+) \|$/gm)]
  const table = Object.fromEntries(
    rows.map(([, room = '', , cell = '']) => [
      room,
      cell.split(', ').map((word) => IN_WORDS[word] ?? word.replace(/^`(.*)`$/, '$1')),
    ]),
  )
  const sorted = (rooms: Readonly<Record<string, readonly string[]>>) =>
    Object.fromEntries(Object.entries(rooms).map(([room, allowed]) => [room, allowed.toSorted()]))
  expect(sorted(table)).toEqual(sorted(MAY_IMPORT))
})

test('the tests that docs/architecture.md names for a guarantee have it in their titles', () => {
  const rows = [...read('docs/architecture.md').matchAll(/^\| (G\d) \| .+ \| ([^|]+) \|$/gm)]
  expect(rows.map(([, guarantee]) => guarantee)).toEqual(['G1', 'G2', 'G3', 'G4', 'G5', 'G6', 'G7'])
  const without = rows.flatMap(([, guarantee = '', named = '']) =>
    [...named.matchAll(/`([^`]+)`/g)].flatMap(([, file = '']) =>
      new RegExp(`'[^'\\n]*\\b${guarantee}\\b`).test(read(file)) ? [] : [`${guarantee}: ${file}`],
    ),
  )
  expect(without).toEqual([])
})

test('the client imports only types from other rooms', () => {
  const room = sources.filter((file) => roomOf(file) === 'src/client')
  const values = room.filter((file) => /^(?:import|export) (?!type )[^'"]*from '\.\.\//m.test(read(file)))
  expect([room.length > 0, values]).toEqual([true, []])
})

test('importsOf finds imports of every form', () => {
  expect(importsOf('src/console/main.tsx')).toContain('preact')
  expect(importsOf('src/lambda/sqs-queues.ts')).toContain('@aws-sdk/client-sqs')
  expect(importsOf('functions/agents/call.ts')).toEqual(expect.arrayContaining(['hono', 'src/adapter', 'src/store']))
  expect(importsOf('src/relay/targets/sqs/sqs-client.ts')).toEqual(
    expect.arrayContaining(['@aws-sdk/client-sqs', 'src/relay']),
  )
})

/** Files over 250 lines, each one idea: the reason. */
const LONG: Readonly<Record<string, string>> = {
  'src/console/rows.tsx':
    'a table, the rows of it that are on the screen, and the selection that keyboard and mouse change in both',
  'src/console/stream/stream-page.tsx': 'the page, and the entries that it keeps while changes arrive',
  'src/producer/backup/backup.ts': 'a backup from the first packet that Redis refuses to the last one pushed',
  'src/simulator/campaigns.ts': 'the life of a campaign and of its calls, each of which drives the other',
  'src/store/reads/wall-reads.ts': 'one read: the documents that it caches, and the rows that it derives from them',
}

test('no source is longer than 250 lines, except those with a reason', () => {
  const long = [...sources, ...scripts].filter(
    (file) => /^(src|functions|infra|examples)\//.test(file) && read(file).split('\n').length > 251,
  )
  expect(long.filter((file) => LONG[file] === undefined)).toEqual([])
  expect(
    Object.keys(LONG).filter((file) => !long.includes(file)),
    'reasons that are not needed any more',
  ).toEqual([])
})

/** The files directly in `src/relay`; every other file is in a room below it. */
const GROUND_FLOOR = ['config', 'index', 'item', 'metrics', 'notice', 'relay-error', 'source']
const RELAY_ROOMS = [
  'doctor',
  'health',
  'journal',
  'lists',
  'parking',
  'pubsub',
  'redis',
  'redis/lua',
  'replays',
  'sender',
  'targets',
  'targets/http',
  'targets/sqs',
]

test('each file of the relay is in a known room, and no two share a name', () => {
  const relay = files.filter((file) => file.startsWith('src/relay/')).map((file) => file.slice('src/relay/'.length))
  const [ground, rooms] = [relay.filter((file) => !file.includes('/')), relay.filter((file) => file.includes('/'))]
  expect(ground.filter((file) => !GROUND_FLOOR.includes(file.replace(/\.ts$/, '')))).toEqual([])
  expect(rooms.filter((file) => !RELAY_ROOMS.includes(dirname(file)))).toEqual([])
  const names = relay.filter((file) => file.endsWith('.ts')).map((file) => file.slice(file.lastIndexOf('/') + 1))
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
})

test('Lua is only in .lua files, and each of them is read by its room', () => {
  const readers = { 'src/relay/redis/lua': 'src/relay/redis/relay-keys.ts', 'src/store/lua': 'src/store/steps.ts' }
  const unread = scripts.filter((file) => {
    const reader = Object.entries(readers).find(([folder]) => dirname(file) === folder)?.[1]
    const name = /^([a-z]+(?:-[a-z]+)*)\.lua$/.exec(file.slice(file.lastIndexOf('/') + 1))?.[1]
    return reader === undefined || name === undefined || !read(reader).includes(`'${name}'`)
  })
  expect([scripts.length > 10, unread]).toEqual([true, []])
  const named = scripts.flatMap((file) => [...read(file).matchAll(/^-- name: (.*)$/gm)].map(([, name = '']) => name))
  const reader = read('src/relay/redis/relay-keys.ts')
  expect([named.length > 10, named.filter((name) => !reader.includes(`'${name}'`))]).toEqual([true, []])
  const inText = sources.filter((file) => /^src\/(relay|store)\//.test(file) && /redis\.p?call\(/.test(read(file)))
  expect(inText).toEqual([])
})

test('files are in kebab-case, but for functions, which are named after their sub_type; none is a catch-all', () => {
  const name = (file: string) => file.slice(file.lastIndexOf('/') + 1)
  expect(
    sources.filter(
      (file) =>
        !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config|\.d)?\.[tj]sx?$/.test(name(file)) &&
        file !== 'functions/campaigns/dial_preview.ts',
    ),
  ).toEqual([])
  expect(
    sources.filter((file) => /(^|[/-])(utils?|helpers?|common|managers?|services?|base|misc)[./-]/.test(file)),
  ).toEqual([])
})

test('imports have file endings, no file names a path of a machine, and process.env is never replaced', () => {
  const bad: string[] = []
  for (const file of sources) {
    if (file === 'test/structure.test.ts') continue
    const text = read(file)
    if (/from '\.[^']*(?<!\.ts|\.tsx|\.js|\.json)'/.test(text)) bad.push(`${file}: an import without its ending`)
    if (/(^|[^A-Za-z0-9_.])\/(work|farm|root)\//m.test(text)) bad.push(`${file}: a path of a machine`)
    if (/\bprocess\.env\s*=[^=]/.test(text)) bad.push(`${file}: puts another object in the place of process.env`)
  }
  expect(bad).toEqual([])
})

test('a lock file names no registry', () => {
  expect(read('package-lock.json')).not.toMatch(/"resolved"/)
})
