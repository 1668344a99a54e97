import { formatTable, thousands } from './table.ts'

/** The monthly cost of a stack in US dollars, by the formulas and prices of docs/deploy.md. */
export type Bill = {
  readonly agents: number
  readonly sqs: number
  readonly lambda: number
  /** The cheaper of pay-as-you-go and the smallest fixed plan that holds the data. */
  readonly upstash: { readonly plan: string; readonly price: number }
  /** Alarms and logs. */
  readonly cloudWatch: number
  readonly all: number
}

/** The relay's requests, the invocations and the commands per notification. */
export type Each = { readonly sends: number; readonly invocations: number; readonly commands: number }

/** A month is 22 days of 8 hours, in which an agent causes 7.1 notifications a minute, 2.3 of them CDRs. */
const MINUTES = 22 * 8 * 60
const NOTIFICATIONS_A_MINUTE = 7.1
const CDRS_A_DAY = 2.3 * 8 * 60
/** How long (days) the read model keeps CDRs. */
const KEPT_DAYS = 3

/** Source: https://upstash.com/pricing/redis */
const FIXED_PLANS = [
  { plan: 'fixed 250 MB', gigabytes: 0.25, price: 10 },
  { plan: 'fixed 1 GB', gigabytes: 1, price: 20 },
  { plan: 'fixed 5 GB', gigabytes: 5, price: 100 },
  { plan: 'fixed 10 GB', gigabytes: 10, price: 200 },
  { plan: 'fixed 50 GB', gigabytes: 50, price: 400 },
  { plan: 'fixed 100 GB', gigabytes: 100, price: 800 },
  { plan: 'fixed 500 GB', gigabytes: 500, price: 1_500 },
]

/** Requests per month with which Lambda polls a queue, even if it is empty. */
const POLLS = 5 * 3 * 60 * 24 * 30
/** Drains per month: one every five minutes, which takes 4 s and one request per dead-letter queue. */
const DRAINS = 12 * 24 * 30
const DRAIN_GB_SECONDS = 4 * 0.25
/** Requests per month with which a relay polls for operators' commands. */
const COMMAND_POLLS = 3 * 60 * 24 * 30
/** GB-seconds per invocation: 20 ms with 256 MB. */
const GB_SECONDS = 0.02 * 0.25
const LOG_GB = 0.5e-6

/** Computes the monthly cost. @param queues the number of routes of the stack, each of which has a queue */
export function toBill(agents: number, each: Each, cdrBytes: number, queues: number): Bill {
  const n = agents * NOTIFICATIONS_A_MINUTE * MINUTES
  const invocations = n * each.invocations
  const gigabytes = (agents * CDRS_A_DAY * KEPT_DAYS * cdrBytes) / 1e9
  const sqs = ((n * each.sends + 2 * invocations + (POLLS + DRAINS) * queues + COMMAND_POLLS) / 1e6) * 0.5
  const gbSeconds = invocations * GB_SECONDS + DRAINS * DRAIN_GB_SECONDS
  const lambda = (invocations / 1e6) * 0.2 + gbSeconds * 0.000_013_333_4
  const asYouGo = ((n * each.commands) / 1e5) * 0.2 + Math.max(0, gigabytes - 1) * 0.25
  const [fixed] = FIXED_PLANS.filter((plan) => plan.gigabytes >= gigabytes)
  const upstash = fixed === undefined || asYouGo <= fixed.price ? { plan: 'pay as you go', price: asYouGo } : fixed
  const cloudWatch = (5 * queues + 8) * 0.1 + invocations * LOG_GB * 0.5
  return { agents, sqs, lambda, upstash, cloudWatch, all: sqs + lambda + upstash.price + cloudWatch }
}

export function formatBill(bills: readonly Bill[]): string {
  const dollars = (value: number) => `$${thousands(value)}`
  const rows = bills.map(({ agents, sqs, lambda, upstash, cloudWatch, all }) => [
    thousands(agents),
    dollars(sqs),
    dollars(lambda),
    `${dollars(upstash.price)} ${upstash.plan}`,
    dollars(cloudWatch),
    dollars(all),
  ])
  return formatTable(['agents', 'SQS', 'Lambda', 'Upstash', 'alarms, logs', 'a month'], rows)
}
