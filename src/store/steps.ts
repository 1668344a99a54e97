import { DAY_MS, MAX_NAME_BYTES } from './document.ts'
import { readLua } from './lua.ts'

/**
 * The steps of the script that writes, with their arguments in order. The last argument may be `...rest`, which stands for any number of
 * values. TypeScript checks the arguments of a step against this table, and the script takes their number and names from it. Each step
 * is a function of the same name in `lua/`. `keys` names the documents that a step is certain to read, so that the documents of a batch are
 * read at once, and loaded from disk before the database is locked.
 */
export const STEPS = {
  agent_status: {
    takes: ['ref', 'campaign', 'status', 'stamp', 'at', 'implies', 'known', 'may_come_before', 'change'],
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
    takes: ['subject', 'ref', 'campaign', 'stamp', 'at', 'values', 'change', '...counters'],
    keys: ({ subject, ref }) => [`${subject}_stats:${ref}`],
  },
  state: {
    takes: ['subject', 'ref', 'status', 'stamp', 'ms', 'at', 'source', 'id', 'json', 'change'],
    keys: ({ subject, ref }) => [`${subject}:${ref}`, `${subject}_history:${ref}`],
  },
  latest: {
    takes: ['kind', 'ref', 'stamp', 'ms', 'id', 'stale_at', 'json', 'change'],
    keys: ({ kind, ref }) => [`kind:${kind}:${ref}`],
  },
  part: { takes: ['subject', 'id', 'index', 'text'], keys: () => [] },
  preview: { takes: ['ref', 'id', 'parts', 'stamp', 'at', 'change'], keys: ({ ref }) => [`preview:${ref}`] },
  cdr: {
    // The effect passes the key of the CDR as `id`. The commit replaces it by a digest of the key and the secret of the database.
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
  replay: { takes: ['job', 'subject', 'by', 'ms', 'json'], keys: ({ job }) => [`replay:${job}`] },
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

/** The arguments of a step by name. */
export type StepValues<N extends StepName> = { readonly [K in Exclude<Takes<N>, `...${string}`>]: string }

/** A step of the script, as plain data. */
export type Step = {
  readonly name: StepName
  readonly values: Readonly<Record<string, string>>
  readonly rest: readonly string[]
}

/**
 * Creates a step of the script. The compiler checks its name and arguments.
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

/** Returns the arguments of a step in order. */
export const argumentsOf = ({ name, values, rest }: Step): string[] => [
  ...namesOf(name).map((argument) => values[argument] as string),
  ...rest,
]

/** Returns the keys, without their prefix, of the documents that this step reads, as far as they are known without a digest. */
export function keysOf({ name, values }: Step): string[] {
  const isShort = Object.entries(values).every(
    ([argument, value]) => value.length * 3 <= MAX_NAME_BYTES || !NAMES.has(argument),
  )
  return isShort ? STEPS[name].keys(values) : []
}

/** The arguments that become part of a key. */
const NAMES = new Set(['ref', 'source', 'call_ref', 'agent', 'campaign', 'kind', 'id', 'message', 'entry', 'job'])

/** Returns the arguments of the steps as two Lua tables. */
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
 * The script that writes. It applies a list of steps: one command for a whole batch, and atomic, since handlers of other queues run at the
 * same time.
 *
 * A value may determine which other keys are written (a CDR ends the call of whichever agent has it), so not all keys can be declared.
 * Redis requires declared keys only for clusters, and an Upstash database is not one
 * (https://upstash.com/docs/redis/overall/rediscompatibility lists EVAL as supported; its databases are single-keyspace). Values are opaque
 * text: the script neither parses nor writes JSON, so no number loses a digit. Requires Redis 6 or newer.
 */
export const APPLY = [formatArguments(), ...FILES.map(readLua)].join('\n')

/** Returns the script that reads the wall's recently written documents. */
export const readWallScript = (): string => readLua('wall')
