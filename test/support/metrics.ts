/**
 * Sums the samples of a metric as `/metrics` shows it, of those whose labels hold all that are named. The relay's signs of life are
 * left out: when they come is a matter of the clock.
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
