import { readLua } from './lua.ts'
import { DAY_MS } from './document.ts'

/**
 * The steps of the script that writes, and their arguments in order; the last may be `...rest`: any number of them. TypeScript checks the
 * arguments of a step by this table, and the script checks their count and names them by it: each is a function of this name in `lua/`.
 * `keys` names the documents that a step surely reads, so that all of a batch are read at once, and from the disk before the
 * database is locked.
 */
export const STEPS = {
  agent_status: {
    takes: ['ref', 'campaign', 'status', 'stamp', 'at', 'says', 'known', 'may_come_before', 'change'],
    keys: ({ ref }) => [`agent:${ref}`],
  },
  call: {
    takes: [
      'ref',
      'campaign',
      'source',
      'call_ref',
      'numbers',
      'stamp',
      'ms',
      'rank',
      'stale_at',
      'id',
      'json',
      'kind',
      'change',
    ],
    keys: ({ ref, source, call_ref }) => [
      `agent:${ref}`,
      `agent_calls:${ref}`,
      'relays',
      ...(call_ref === '' ? [] : [`call:${source}:${call_ref}`]),
    ],
  },
  stats: {
    takes: ['of', 'ref', 'campaign', 'stamp', 'at', 'values', 'change', '...counters'],
    keys: ({ of, ref }) => [`${of}_stats:${ref}`],
  },
  state: {
    takes: ['of', 'ref', 'status', 'stamp', 'ms', 'at', 'source', 'id', 'json', 'change'],
    keys: ({ of, ref }) => [`${of}:${ref}`, `${of}_history:${ref}`],
  },
  latest: {
    takes: ['kind', 'ref', 'stamp', 'ms', 'id', 'stale_at', 'json', 'change'],
    keys: ({ kind, ref }) => [`kind:${kind}:${ref}`],
  },
  part: { takes: ['of', 'id', 'index', 'text'], keys: () => [] },
  preview: { takes: ['ref', 'id', 'parts', 'stamp', 'at', 'change'], keys: ({ ref }) => [`preview:${ref}`] },
  cdr: {
    // `id` is made of `key` and the database's secret when it is committed.
    takes: [
      'id',
      'source',
      'call_ref',
      'agent',
      'stamp',
      'ms',
      'listed_ms',
      'end_ms',
      'numbers',
      'digest',
      'id_of_event',
      'received',
      'event',
      'packet',
      'campaign',
      'counts',
      'change',
      '...terms',
    ],
    keys: ({ id, source, call_ref, agent, campaign, listed_ms }) => [
      `cdr:${id}`,
      `figures:${campaign}:${Math.floor(Number(listed_ms) / DAY_MS)}`,
      ...(call_ref === '' ? [] : [`call:${source}:${call_ref}`, ...(agent === '' ? [] : [`agent:${agent}`])]),
    ],
  },
  other: { takes: ['id', 'type', 'parts', 'ms', 'json', 'change'], keys: ({ id }) => [`other_record:${id}`] },
  parked: { takes: ['id', 'state', 'stamp', 'ms', 'json', 'change'], keys: ({ id }) => [`parked:${id}`] },
  attempt: {
    takes: ['message', 'attempt', 'ms', 'status', 'reason', '...keys'],
    keys: ({ message }) => [`attempts:${message}`],
  },
  park: {
    takes: ['id', 'message', 'key', 'attempt', 'status', 'reason', 'ms', 'place', 'parts', 'lane', 'json', 'change'],
    keys: ({ id, message }) => [`parked:${id}`, `attempts:${message}`],
  },
  replayed: {
    takes: ['entry', 'job', 'message', 'outcome', 'ms', 'reason', 'why', 'change', 'change_of_job'],
    keys: ({ entry, job }) => [`parked:${entry}`, `replay:${job}`, `outcome:${job}:${entry}`],
  },
  bin: { takes: ['entry', 'ms', 'operator', 'change'], keys: ({ entry }) => [`parked:${entry}`] },
  restore: { takes: ['entry', 'change'], keys: ({ entry }) => [`parked:${entry}`] },
  audit: { takes: ['id', 'ms', 'json'], keys: () => [] },
  replay: { takes: ['job', 'of', 'by', 'ms', 'json'], keys: ({ job }) => [`replay:${job}`] },
  select: { takes: ['job', 'from', 'to', 'is_chosen', '...entries'], keys: ({ job }) => [`replay:${job}`] },
  claim: { takes: ['job', 'count'], keys: ({ job }) => [`replay:${job}`] },
  sent: { takes: ['job', 'round'], keys: ({ job }) => [`replay:${job}`] },
  drive: { takes: ['job', 'relay', 'for_ms'], keys: ({ job }) => [`replay:${job}`] },
  leave: { takes: ['job'], keys: () => [] },
  stop: { takes: ['job'], keys: ({ job }) => [`replay:${job}`] },
  missing: {
    takes: ['agent', 'source', 'call_ref', 'stamp', 'left_ms', 'id', 'ms', 'json', 'change', 'change_back'],
    keys: ({ agent, source, call_ref }) => [`agent:${agent}`, `call:${source}:${call_ref}`],
  },
  alive: { takes: ['relay', 'stamp', 'takes', 'json', 'change'], keys: () => ['relays'] },
  gap: {
    takes: ['id', 'source', 'route', 'sequence', 'to_ms', 'json', 'change'],
    keys: ({ id }) => ['gap_latest', `gap:${id}`],
  },
  done: { takes: ['message', '...ids'], keys: () => [] },
} as const satisfies Record<
  string,
  { readonly takes: readonly string[]; readonly keys: (values: Readonly<Record<string, string>>) => string[] }
>

export type StepName = keyof typeof STEPS

type Takes<N extends StepName> = (typeof STEPS)[N]['takes'][number]

/** The arguments of a step by their names. */
export type StepValues<N extends StepName> = { readonly [K in Exclude<Takes<N>, `...${string}`>]: string }

/** One step of the script: plain data. */
export type Step = {
  readonly name: StepName
  readonly values: Readonly<Record<string, string>>
  readonly rest: readonly string[]
}

/**
 * A step of the script. The compiler checks its name and its arguments.
 *
 * @example step('alive', { relay, stamp, takes, json, change })
 */
export const step = <N extends StepName>(name: N, values: StepValues<N>, rest: readonly string[] = []): Step => ({
  name,
  values,
  rest,
})

export const namesOf = (name: StepName): string[] => STEPS[name].takes.filter((argument) => !argument.startsWith('...'))

export const restOf = (name: StepName): string | undefined =>
  STEPS[name].takes.find((argument) => argument.startsWith('...'))?.slice(3)

/** The arguments of a step in their order. */
export const argumentsOf = ({ name, values, rest }: Step): string[] => [
  ...namesOf(name).map((argument) => values[argument] as string),
  ...rest,
]

/** Longest name (bytes) that is part of a key as it is; the script puts a digest in the place of a longer one. */
const MAX_NAME = 512

/** The keys of documents that this step reads, without their prefix: those that can be told without a digest. */
export function keysOf({ name, values }: Step): string[] {
  const isShort = Object.entries(values).every(
    ([argument, value]) => value.length * 3 <= MAX_NAME || !NAMES.has(argument),
  )
  return isShort ? STEPS[name].keys(values) : []
}

/** The arguments that go into keys. */
const NAMES = new Set(['ref', 'source', 'call_ref', 'agent', 'campaign', 'kind', 'id', 'message', 'entry', 'job'])

/** The steps' arguments as two tables in Lua. */
function formatArguments(): string {
  const names = Object.keys(STEPS) as StepName[]
  const list = (texts: readonly string[]) => `{ ${texts.map((text) => `'${text}'`).join(', ')} }`
  const rests = names.flatMap((name) => {
    const rest = restOf(name)
    return rest === undefined ? [] : [`${name} = '${rest}'`]
  })
  return [
    `local ARGUMENTS = { ${names.map((name) => `${name} = ${list(namesOf(name))}`).join(', ')} }`,
    `local REST = { ${rests.join(', ')} }`,
  ].join('\n')
}

const FILES = ['shared', 'documents', 'missing', 'agents', 'states', 'cdrs', 'operator', 'parked', 'replays', 'main']

/**
 * The one script that writes: it applies a list of steps. One command for a whole batch, and one step, since handlers of other queues run at
 * the same time.
 *
 * A value may decide which other keys are touched (a CDR ends the call of whoever has it), so not every key can be declared. That is allowed
 * wherever the keys are not spread over a cluster; an Upstash database is not
 * (https://upstash.com/docs/redis/overall/rediscompatibility lists EVAL as supported; its databases are single-keyspace).
 * Values are opaque text: nothing in it parses or writes JSON, so no number can lose a digit. Works from Redis 6.
 */
export const APPLY = [formatArguments(), ...FILES.map(readLua)].join('\n')

/** The script that reads what of the wall was written lately. */
export const readWallScript = (): string => readLua('wall')
