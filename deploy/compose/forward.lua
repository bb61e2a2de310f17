-- Every radiograph that reaches this Orthanc goes on to cxrd, but for what cxrd itself sent back.
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin.RequestOrigin == 'DicomProtocol' and origin.RemoteAet == 'CXRD' then
    return
  end
  if tags.Modality == 'CR' or tags.Modality == 'DX' then
    SendToModality(instanceId, 'cxrd')
  end
end
