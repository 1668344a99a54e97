/**
 * The faults of a soak. Each belongs to a track. The faults of one track occur one after the other; tracks run in parallel, so that SQS may
 * hang while Redis is killed and a handler throws.
 */
export const TRACKS = ['relay', 'redis', 'sqs', 'functions', 'http'] as const
export type Track = (typeof TRACKS)[number]

/** The minimum and maximum duration (ms) of a fault. For a kill or a stop: how long the process stays down. */
type Span = readonly [fromMs: number, toMs: number]

const FAULTS_OF = {
  relay: {
    /** SIGKILL, then a restart after the span. */
    'relay-kill': [0, 1_500],
    /** SIGTERM: the relay must exit with 0 within the deadline. Restarted after the span. */
    'relay-term': [0, 1_000],
    /** A second relay with a different id shares the list `cdr`, adopts claims of the first one if that dies, and is killed at the end. */
    'relay-second': [3_000, 6_000],
  },
  redis: {
    /** All connections of the relay to Redis are cut. */
    'redis-cut': [0, 0],
    'redis-refuse': [500, 2_000],
    'redis-delay': [1_000, 3_000],
    /** Replies are cut in the middle. */
    'redis-truncate': [500, 2_000],
    /** Network packets vanish without a reset. Connections that were open in this time never recover. */
    'redis-half-open': [500, 2_000],
    /** SIGKILL, then a restart with its data after the span. */
    'redis-kill': [200, 2_000],
    'redis-term': [200, 1_500],
    /** SIGKILL while the targets accept nothing, then a restart without data after the span. */
    'redis-empty': [500, 1_500],
    /** The key of a list holds a string. */
    'redis-wrong-type': [500, 2_000],
    /** Redis is a read-only replica. */
    'redis-read-only': [500, 2_500],
    /** Redis has reached `maxmemory`, with `noeviction`. */
    'redis-full': [500, 2_500],
  },
  sqs: {
    'sqs-refuse': [500, 3_000],
    'sqs-500': [500, 3_000],
    'sqs-throttle': [500, 3_000],
    /** SQS never answers. */
    'sqs-hang': [500, 2_000],
    /** SQS accepts a request, and cuts the connection before the answer. */
    'sqs-lose': [500, 3_000],
    /** `Failed` for some entries of each request. */
    'sqs-failed': [500, 3_000],
    'sqs-credentials': [500, 3_000],
    'sqs-slow': [1_000, 3_000],
    /** The uplink carries 0.8 Mbit/s. */
    'sqs-slow-link': [3_000, 8_000],
    /** Only the queue `other` accepts nothing, so a few items of each claim remain. */
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
    /** Upstash writes, and cuts the connection before the answer. */
    'upstash-lose': [500, 2_500],
  },
  /** Faults of the HTTP server that runs the functions. */
  http: {
    /** The port is closed, and open connections are cut. */
    'http-refused': [500, 3_000],
    /** The server never answers, and runs no function. */
    'http-hang': [500, 2_000],
    'http-500': [500, 3_000],
    /** 503 with Retry-After. */
    'http-503': [500, 3_000],
    /** The server runs the functions, commits, and cuts the connection before the answer. */
    'http-answer-lost': [500, 3_000],
    /** The server has another secret, so it answers 401. */
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

/** The relay's target. `mixed` sends some routes to SQS and the others to HTTP. */
export const SOAK_TARGETS = ['sqs', 'http', 'mixed'] as const
export type SoakTarget = (typeof SOAK_TARGETS)[number]

/** Returns the faults that are possible with a target. Faults of a server that receives nothing are left out. */
export const faultsWith = (target: SoakTarget): readonly FaultKind[] =>
  ALL.filter(({ track }) => target === 'mixed' || track !== (target === 'sqs' ? 'http' : 'sqs')).map(({ kind }) => kind)

const BY_KIND = new Map(ALL.map((fault) => [fault.kind, fault]))
export const faultOf = (kind: FaultKind): { readonly kind: FaultKind; readonly track: Track; readonly span: Span } =>
  BY_KIND.get(kind) as (typeof ALL)[number]
