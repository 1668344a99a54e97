/**
 * The faults of a soak. Each belongs to a track: those of one track come one after the other, the tracks run beside each other, so
 * that SQS may hang while Redis is killed and a handler throws.
 */
export const TRACKS = ['relay', 'redis', 'sqs', 'functions', 'http'] as const
export type Track = (typeof TRACKS)[number]

/** How long (ms) a fault lasts: from, to. What has no length happens at an instant; then it is how long things stay down. */
type Span = readonly [fromMs: number, toMs: number]

const FAULTS_OF = {
  relay: {
    /** SIGKILL; started again after the span. */
    'relay-kill': [0, 1_500],
    /** SIGTERM: exit 0 within the deadline; started again after the span. */
    'relay-term': [0, 1_000],
    /** A second relay with an id of its own shares the list `cdr`, adopts what the first leaves, and is killed in the end. */
    'relay-second': [3_000, 6_000],
  },
  redis: {
    /** All connections of the relay are cut. */
    'redis-cut': [0, 0],
    'redis-refuse': [500, 2_000],
    'redis-delay': [1_000, 3_000],
    /** Answers end in the middle. */
    'redis-truncate': [500, 2_000],
    /** Packets vanish without a reset; what went through it stays lost. */
    'redis-half-open': [500, 2_000],
    /** SIGKILL; started again on its data after the span. */
    'redis-kill': [200, 2_000],
    'redis-term': [200, 1_500],
    /** SIGKILL while SQS takes nothing; back without its data after the span. */
    'redis-empty': [500, 1_500],
    /** The list's key holds a text. */
    'redis-wrong-type': [500, 2_000],
    /** It is a read-only replica. */
    'redis-read-only': [500, 2_500],
    /** `maxmemory` is reached, with noeviction. */
    'redis-full': [500, 2_500],
  },
  sqs: {
    'sqs-refuse': [500, 3_000],
    'sqs-500': [500, 3_000],
    'sqs-throttle': [500, 3_000],
    /** Never answers. */
    'sqs-hang': [500, 2_000],
    /** Accepts, and cuts the connection before the answer. */
    'sqs-lose': [500, 3_000],
    /** `Failed` for some entries of each request. */
    'sqs-failed': [500, 3_000],
    'sqs-credentials': [500, 3_000],
    'sqs-slow': [1_000, 3_000],
    /** The uplink carries 0.8 Mbit/s. */
    'sqs-slow-link': [3_000, 8_000],
    /** The queue `other` accepts nothing, while all others do: a few items of each claim stay. */
    'sqs-stuck': [4_000, 12_000],
    'sqs-cut': [500, 2_000],
    'sqs-half-open': [500, 2_000],
  },
  functions: {
    /** The handler throws, hangs, or answers 422 for a tenth of the references. */
    'handler-throw': [500, 2_500],
    'handler-hang': [500, 2_500],
    'handler-422': [500, 2_500],
    'upstash-down': [500, 2_500],
    'upstash-slow': [500, 2_500],
    'upstash-429': [500, 2_500],
    /** Writes, and cuts the connection before the answer. */
    'upstash-lose': [500, 2_500],
  },
  /** Of the server that the functions run in. */
  http: {
    /** Nothing listens, and what was open is cut. */
    'http-refused': [500, 3_000],
    /** Never answers, and runs nothing. */
    'http-hang': [500, 2_000],
    'http-500': [500, 3_000],
    /** 503 with Retry-After. */
    'http-503': [500, 3_000],
    /** Runs the functions, commits, and cuts the connection before the answer. */
    'http-answer-lost': [500, 3_000],
    /** Has another secret: 401. */
    'http-wrong-signature': [500, 3_000],
    'http-slow': [1_000, 3_000],
  },
} as const satisfies Record<Track, Record<string, Span>>

type FaultsOf = typeof FAULTS_OF
export type FaultKind = { [T in Track]: keyof FaultsOf[T] }[Track]

const ALL = TRACKS.flatMap((track) =>
  Object.entries<Span>(FAULTS_OF[track]).map(([kind, span]) => ({ kind: kind as FaultKind, track, span })),
)

export const FAULT_KINDS: readonly FaultKind[] = ALL.map(({ kind }) => kind)

/** Where the relay sends: `mixed` has some routes on SQS and some on HTTP. */
export const SOAK_TARGETS = ['sqs', 'http', 'mixed'] as const
export type SoakTarget = (typeof SOAK_TARGETS)[number]

/** The kinds that there are with a target: none of a server to which nothing is sent. */
export const faultsWith = (target: SoakTarget): readonly FaultKind[] =>
  ALL.filter(({ track }) => target === 'mixed' || track !== (target === 'sqs' ? 'http' : 'sqs')).map(({ kind }) => kind)

const BY_KIND = new Map(ALL.map((fault) => [fault.kind, fault]))
export const faultOf = (kind: FaultKind): { readonly kind: FaultKind; readonly track: Track; readonly span: Span } =>
  BY_KIND.get(kind) as (typeof ALL)[number]
