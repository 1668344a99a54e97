import { API } from '../stack/names.ts'
import { find, ofType, targetOf, type Template } from './template.ts'

/**
 * Whether the read API can be called by everybody who has its token: a URL that streams, and both rights that AWS asks for. With one
 * of them only, AWS answers every request with 403. Source: "Control access to Lambda function URLs" in the Lambda developer guide.
 */
export function* checkApi(template: Template, prefix: string, apiConcurrency?: number): Generator<string> {
  const [functionId, own] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === prefix + API) ?? []
  if (functionId === undefined) return yield 'the read API has no function'
  if (own?.['ReservedConcurrentExecutions'] !== apiConcurrency)
    yield `the read API has a reserved concurrency of ${String(own?.['ReservedConcurrentExecutions'])}, but the deployment sets ${String(apiConcurrency)}`
  // One with a bound of its own takes it from all others for good.
  for (const [name, { Properties: p = {} }] of ofType(template, 'AWS::Lambda::Function'))
    if (name !== functionId && p['ReservedConcurrentExecutions'] !== undefined) yield `${name} reserves concurrency`
  const [, url] = find(template, 'AWS::Lambda::Url', (p) => targetOf(p['TargetFunctionArn']) === functionId) ?? []
  if (url === undefined) return yield 'the read API has no URL'
  if (url['InvokeMode'] !== 'RESPONSE_STREAM') yield 'the URL of the read API does not stream responses'
  const rights = ofType(template, 'AWS::Lambda::Permission').filter(
    ([, { Properties: p = {} }]) => targetOf(p['FunctionName']) === functionId,
  )
  const allows = (action: string, condition: string, value: unknown) =>
    rights.some(
      ([, { Properties: p = {} }]) => p['Action'] === action && p['Principal'] === '*' && p[condition] === value,
    )
  if (!allows('lambda:InvokeFunctionUrl', 'FunctionUrlAuthType', 'NONE'))
    yield 'the read API has no permission for calls of its URL (lambda:InvokeFunctionUrl)'
  if (!allows('lambda:InvokeFunction', 'InvokedViaFunctionUrl', true))
    yield 'the read API has no permission for invocations through its URL (lambda:InvokeFunction)'
  for (const [, { Properties: p = {} }] of rights) {
    if (p['FunctionUrlAuthType'] === undefined && p['InvokedViaFunctionUrl'] !== true)
      yield 'the read API can be invoked without its URL'
  }
}
