/** A part of a CloudFormation template. */
export type Resource = {
  readonly Type: string
  readonly Properties: Readonly<Record<string, unknown>>
  readonly DeletionPolicy?: 'RetainExceptOnCreate' | 'Delete'
  readonly UpdateReplacePolicy?: 'Retain' | 'Delete'
  readonly DependsOn?: readonly string[]
}

export type Resources = Readonly<Record<string, Resource>>

export const ref = (logicalId: string) => ({ Ref: logicalId })
export const arnOf = (logicalId: string) => ({ 'Fn::GetAtt': [logicalId, 'Arn'] })

/** The text with AWS' own variables, such as `${AWS::Region}`. */
export const sub = (text: string) => ({ 'Fn::Sub': text })

/**
 * What happens to data when its stack is removed, or when it would have to be made anew.
 * Source: "DeletionPolicy attribute" in the CloudFormation template reference.
 */
export const kept = (keep: boolean) => {
  // Of a deployment that fails and is rolled back, what it made is removed again: left behind, it would be in the way of the next try.
  const policy = keep ? ('RetainExceptOnCreate' as const) : ('Delete' as const)
  // A part that is made anew under another name leaves the old one behind in any case: it may hold messages.
  return { DeletionPolicy: policy, UpdateReplacePolicy: 'Retain' as const }
}
