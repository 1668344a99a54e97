/**
 * Sums the samples of a metric in `/metrics` that have all of the given labels. Liveness messages are excluded, because they are sent at
 * unpredictable times.
 *
 * @example await readMetric(relay.address, 'gaps_total', { cause: 'reconnect' })
 */
export async function readMetric(address: string, name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${address}/metrics`)).text()
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  return text
    .split('\n')
    .filter(
      (line) =>
        new RegExp(`^enigma_relay_${name}[{ ]`).test(line) &&
        wanted.every((label) => line.includes(label)) &&
        !line.includes('route="relay-alive"'),
    )
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
