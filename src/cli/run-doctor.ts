import { styleText } from 'node:util'
import type { Finding } from '../relay/doctor/check.ts'
import { examine } from '../relay/doctor/doctor.ts'
import { CliError } from './cli-output.ts'
import { readRelayConfig } from './run-relay.ts'

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const

/** Checks that run once per route. Their passed checks are printed as one line. */
const FOR_EACH_ROUTE = [
  {
    prefix: 'sqs/queue/',
    check: 'sqs/queues',
    say: (count: number) => `${count} queues and their dead-letter queues have the right attributes`,
  },
  { prefix: 'sqs/send/', check: 'sqs/rights', say: (count: number) => `the relay may send to ${count} queues` },
] as const

/** Runs `enigma-relay doctor [--json]`. @throws ConfigError, or CliError if a check fails */
export async function runDoctor({ json }: { readonly json: boolean }): Promise<void> {
  const findings: Finding[] = []
  const passed = new Map<string, number>()
  for await (const finding of examine(await readRelayConfig(process.env))) {
    findings.push(finding)
    const each =
      finding.state === 'ok' ? FOR_EACH_ROUTE.find(({ prefix }) => finding.check.startsWith(prefix)) : undefined
    if (json) continue
    if (each === undefined) print(finding)
    else passed.set(each.prefix, (passed.get(each.prefix) ?? 0) + 1)
  }
  for (const { prefix, check, say } of FOR_EACH_ROUTE) {
    const routes = passed.get(prefix)
    if (routes !== undefined && !json) print({ check, state: 'ok', text: say(routes) })
  }
  const count = (state: Finding['state']) => findings.filter((one) => one.state === state).length
  const summary = { ok: count('ok'), warn: count('warn'), fail: count('fail') }
  if (json) process.stdout.write(`${JSON.stringify({ checks: findings, summary }, null, 2)}\n`)
  else process.stdout.write(`${summary.ok} ok, ${summary.warn} warn, ${summary.fail} fail\n`)
  if (summary.fail > 0)
    throw new CliError('cli.doctor.failed', `${summary.fail} ${summary.fail === 1 ? 'check failed' : 'checks failed'}`)
}

/**
 * Prints a finding, such as `fail  redis/main/memory  …  → redis-cli …  # doctor.memory.evicts`. The text after the arrow can be pasted into a
 * shell, which reads the code as a comment. Uses colours on a terminal, unless NO_COLOR is set.
 */
function print({ check, state, code, text, fix }: Finding): void {
  const word = styleText(COLOURS[state], state.padEnd(4), { stream: process.stdout })
  const arrow = styleText('bold', '→', { stream: process.stdout })
  const parts = [word, check, text, fix && `${arrow} ${fix}`, code && `# ${code}`]
  process.stdout.write(`${parts.filter((part) => part !== undefined).join('  ')}\n`)
}
