/** Where CloudWatch shows them. */
export const METRICS_NAMESPACE = 'EnigmaRelay'

type Name = 'Parked' | 'ParkedNow' | 'Drained' | 'Expiring' | 'Missing' | 'MissingNow'

/** Adds to what is counted in CloudWatch; nothing costs nothing. */
export function countMetric(name: Name, value: number, functionName: string | undefined): void {
  if (value !== 0) writeMetric(name, value, functionName)
}

/**
 * Writes a figure for CloudWatch, by a line of the log: the embedded metric format takes no request and no permission. Without the name of
 * a function (outside Lambda) it does nothing. Source: "Specification: Embedded metric format" in the CloudWatch user guide.
 */
export function writeMetric(name: Name, value: number, FunctionName: string | undefined): void {
  if (FunctionName === undefined) return
  const CloudWatchMetrics = [
    { Namespace: METRICS_NAMESPACE, Dimensions: [['FunctionName']], Metrics: [{ Name: name, Unit: 'Count' }] },
  ]
  // The console would put a time before it, and CloudWatch would not see it.
  process.stdout.write(
    `${JSON.stringify({ _aws: { Timestamp: Date.now(), CloudWatchMetrics }, FunctionName, [name]: value })}\n`,
  )
}
