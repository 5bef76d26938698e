"""What a simulated ONVIF device says: SOAP bodies, as real cameras word them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

_NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "s": "http://www.w3.org/2003/05/soap-envelope",
        "tds": "http://www.onvif.org/ver10/device/wsdl",
        "trt": "http://www.onvif.org/ver10/media/wsdl",
        "tt": "http://www.onvif.org/ver10/schema",
        "ter": "http://www.onvif.org/ver10/error",
    }.items()
)


@dataclass(frozen=True)
class Stream:
    """A media profile and the state of its encoder."""

    token: str
    width: int
    height: int
    codec: str = "H264"
    fps: int = 25
    bitrate_kbps: int = 2000
    gop_frames: int = 25
    audio: str | None = "G711"


def envelope(body: str) -> bytes:
    return f'<?xml version="1.0"?><s:Envelope {_NAMESPACES}><s:Body>{body}</s:Body></s:Envelope>'.encode()


def fault(side: str, subcode: str, text: str) -> str:
    """`side`: Sender or Receiver."""
    return (
        f"<s:Fault><s:Code><s:Value>s:{side}</s:Value><s:Subcode><s:Value>ter:{subcode}</s:Value></s:Subcode>"
        f'</s:Code><s:Reason><s:Text xml:lang="en">{escape(text)}</s:Text></s:Reason></s:Fault>'
    )


def _answer(service: str, operation: str, content: str) -> str:
    return f"<{service}:{operation}Response>{content}</{service}:{operation}Response>"


def date_and_time(at: datetime) -> str:
    """Whole seconds, as the standard has it."""
    utc = (
        f"<tt:Time><tt:Hour>{at.hour}</tt:Hour><tt:Minute>{at.minute}</tt:Minute>"
        f"<tt:Second>{at.second}</tt:Second></tt:Time>"
        f"<tt:Date><tt:Year>{at.year}</tt:Year><tt:Month>{at.month}</tt:Month><tt:Day>{at.day}</tt:Day></tt:Date>"
    )
    return _answer(
        "tds",
        "GetSystemDateAndTime",
        "<tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
        "<tt:DaylightSavings>false</tt:DaylightSavings><tt:TimeZone><tt:TZ>UTC0</tt:TZ></tt:TimeZone>"
        f"<tt:UTCDateTime>{utc}</tt:UTCDateTime></tds:SystemDateAndTime>",
    )


def device_information(model: str) -> str:
    return _answer(
        "tds",
        "GetDeviceInformation",
        f"<tds:Manufacturer>Protokol</tds:Manufacturer><tds:Model>{escape(model)}</tds:Model>"
        "<tds:FirmwareVersion>1.0</tds:FirmwareVersion><tds:SerialNumber>0001</tds:SerialNumber>"
        "<tds:HardwareId>sim</tds:HardwareId>",
    )


def capabilities(base: str) -> str:
    """`base`: the address under which the device believes its services to be."""
    return _answer(
        "tds",
        "GetCapabilities",
        f"<tds:Capabilities><tt:Device><tt:XAddr>{base}/device_service</tt:XAddr></tt:Device>"
        f"<tt:Media><tt:XAddr>{base}/media_service</tt:XAddr><tt:StreamingCapabilities>"
        "<tt:RTPMulticast>false</tt:RTPMulticast><tt:RTP_TCP>true</tt:RTP_TCP>"
        "<tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP></tt:StreamingCapabilities></tt:Media></tds:Capabilities>",
    )


def services(base: str) -> str:
    listed = "".join(
        f"<tds:Service><tds:Namespace>http://www.onvif.org/ver10/{name}/wsdl</tds:Namespace>"
        f"<tds:XAddr>{base}/{name}_service</tds:XAddr>"
        "<tds:Version><tt:Major>2</tt:Major><tt:Minor>0</tt:Minor></tds:Version></tds:Service>"
        for name in ("device", "media")
    )
    return _answer("tds", "GetServices", listed)


def _encoder(element: str, stream: Stream) -> str:
    codec = (
        f"<tt:H264><tt:GovLength>{stream.gop_frames}</tt:GovLength>"
        "<tt:H264Profile>High</tt:H264Profile></tt:H264>"
        if stream.codec == "H264"
        else ""
    )
    return (
        f"<{element} token={quoteattr(encoder_token(stream))}><tt:Name>encoder</tt:Name>"
        f"<tt:UseCount>1</tt:UseCount><tt:Encoding>{stream.codec}</tt:Encoding><tt:Resolution>"
        f"<tt:Width>{stream.width}</tt:Width><tt:Height>{stream.height}</tt:Height></tt:Resolution>"
        f"<tt:Quality>4</tt:Quality><tt:RateControl><tt:FrameRateLimit>{stream.fps}</tt:FrameRateLimit>"
        "<tt:EncodingInterval>1</tt:EncodingInterval>"
        f"<tt:BitrateLimit>{stream.bitrate_kbps}</tt:BitrateLimit></tt:RateControl>{codec}"
        "<tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type><tt:IPv4Address>0.0.0.0</tt:IPv4Address>"
        "</tt:Address><tt:Port>0</tt:Port><tt:TTL>0</tt:TTL><tt:AutoStart>false</tt:AutoStart></tt:Multicast>"
        f"<tt:SessionTimeout>PT60S</tt:SessionTimeout></{element}>"
    )


def encoder_token(stream: Stream) -> str:
    return f"encoder-{stream.token}"


def profiles(streams: tuple[Stream, ...]) -> str:
    listed = ""
    for stream in streams:
        listed += (
            f'<trt:Profiles token={quoteattr(stream.token)} fixed="true"><tt:Name>{stream.token}</tt:Name>'
        )
        listed += _encoder("tt:VideoEncoderConfiguration", stream)
        if stream.audio:
            listed += (
                '<tt:AudioEncoderConfiguration token="sound"><tt:Name>sound</tt:Name>'
                f"<tt:UseCount>1</tt:UseCount><tt:Encoding>{stream.audio}</tt:Encoding><tt:Bitrate>64</tt:Bitrate>"
                "<tt:SampleRate>8</tt:SampleRate><tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type>"
                "</tt:Address><tt:Port>0</tt:Port><tt:TTL>0</tt:TTL><tt:AutoStart>false</tt:AutoStart>"
                "</tt:Multicast><tt:SessionTimeout>PT60S</tt:SessionTimeout></tt:AudioEncoderConfiguration>"
            )
        listed += "</trt:Profiles>"
    return _answer("trt", "GetProfiles", listed)


def stream_uri(uri: str) -> str:
    return _answer(
        "trt",
        "GetStreamUri",
        f"<trt:MediaUri><tt:Uri>{escape(uri)}</tt:Uri><tt:InvalidAfterConnect>false</tt:InvalidAfterConnect>"
        "<tt:InvalidAfterReboot>false</tt:InvalidAfterReboot><tt:Timeout>PT60S</tt:Timeout></trt:MediaUri>",
    )


def encoder_configuration(stream: Stream) -> str:
    return _answer("trt", "GetVideoEncoderConfiguration", _encoder("trt:Configuration", stream))


def encoder_configurations(streams: tuple[Stream, ...]) -> str:
    listed = "".join(_encoder("trt:Configurations", stream) for stream in streams)
    return _answer("trt", "GetVideoEncoderConfigurations", listed)


def encoder_set() -> str:
    return _answer("trt", "SetVideoEncoderConfiguration", "")
