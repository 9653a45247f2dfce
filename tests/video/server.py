"""Serves a moving test picture over RTSP until its standard input ends.

Arguments: port, frames a second, "tcp" or "udp", and optionally user and password.
Prints "ready" once it listens. 320x240 grey-striped picture as Motion JPEG.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

port, rate, transport = sys.argv[1], sys.argv[2], sys.argv[3]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)

factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( videotestsrc is-live=true pattern=smpte horizontal-speed=4 "
    f"! video/x-raw,format=I420,width=320,height=240,framerate={rate}/1 "
    "! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
)
factory.set_shared(True)
factory.set_protocols(
    GstRtsp.RTSPLowerTrans.TCP if transport == "tcp" else GstRtsp.RTSPLowerTrans.UDP
)

if len(sys.argv) > 5:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "mill")
    basic = GstRtspServer.RTSPAuth.make_basic(sys.argv[4], sys.argv[5])
    auth.add_basic(basic, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("mill", "media.factory.access", True)
    permissions.add_permission_for_role("mill", "media.factory.construct", True)
    factory.set_permissions(permissions)

server.get_mount_points().add_factory("/cloth", factory)
if server.attach(None) == 0:
    sys.exit(f"port {port} cannot be had")
loop = GLib.MainLoop()
GLib.io_add_watch(0, GLib.IO_HUP | GLib.IO_ERR, lambda *_: loop.quit())
print("ready", flush=True)
loop.run()
