import { queueName, RELAY_ROUTES } from '../../src/protocol/index.ts'
import { find, isRecord, type Template } from './template.ts'

/** Whether an operator hears of a relay that is silent, of a gap and of what is parked, and whether the relay can be given its rights. */
export function* checkRelay(template: Template, prefix: string): Generator<string> {
  const { replay: _, ...ofRelay } = RELAY_ROUTES
  for (const [subType, route] of Object.entries(ofRelay)) {
    const queue = queueName(prefix, route)
    const [id, alarm] =
      find(
        template,
        'AWS::CloudWatch::Alarm',
        (p) =>
          p['MetricName'] === 'NumberOfMessagesSent' && JSON.stringify(p['Dimensions']).includes(`"Value":"${queue}"`),
      ) ?? []
    if (alarm === undefined) yield `the queue ${queue}, to which the relay sends, has no alarm`
    // SQS has no figure for a queue that nobody uses: for a sign of life, that is the very thing.
    else if (
      subType === 'alive' &&
      (alarm['TreatMissingData'] !== 'breaching' || alarm['ComparisonOperator'] !== 'LessThanThreshold')
    )
      yield `${id} does not go off when the relay sends nothing`
  }
  const output = template.Outputs?.['RelayPolicyArn']
  const [policyId] = find(template, 'AWS::IAM::ManagedPolicy', () => true) ?? []
  if (
    policyId === undefined ||
    !isRecord(output) ||
    JSON.stringify(output['Value']) !== JSON.stringify({ Ref: policyId })
  )
    yield 'the policy of the relay is not an output of the stack'
}
